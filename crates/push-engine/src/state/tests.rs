//! Every path through the machine, one behaviour a test.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::*;
use crate::backoff::BackoffConfig;
use crate::event::{Event, Evidence, Regression, SentPush, StateName, Totals};
use crate::failure::Kind;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn oid(byte: u8) -> Oid {
    Oid::sha1([byte; 20])
}

fn policy() -> Policy {
    Policy {
        backoff: BackoffConfig {
            base: MS(1000),
            multiplier: 2.0,
            cap: MS(60_000),
            jitter: 0.0,
        },
        seed: 0,
        max_retries: None,
        debounce: Duration::ZERO,
        diverged_probe: Some(MS(60_000)),
        preserve: false,
        verify: None,
        restore: true,
    }
}

/// The machine under a hand-moved clock.
struct Harness {
    state: State,
    now: Now,
}

impl Harness {
    fn start(policy: Policy, tip: Option<Oid>, remote: Option<Oid>) -> (Self, Vec<Action>) {
        let now = Now {
            instant: Instant::now() + Duration::from_secs(3600),
            wall: SystemTime::UNIX_EPOCH,
        };
        let (state, actions) = State::start(policy, Some(survey(tip, 1)), remote, now);
        (Self { state, now }, actions)
    }

    /// A daemon whose remote has `oid(1)`, the local tip.
    fn in_sync(policy: Policy) -> Self {
        let (mut harness, actions) = Self::start(policy, Some(oid(1)), Some(oid(1)));
        assert_eq!(
            actions,
            [Action::Attempt {
                preserve: policy.preserve,
                restore: policy.restore,
            }]
        );
        let actions = harness.ended(Outcome::UpToDate(Some(oid(1))), oid(1), survey(Some(oid(1)), 0));
        assert_eq!(actions, [Action::Confirmed { commit: oid(1) }]);
        harness
    }

    fn step(&mut self, input: Input) -> Vec<Action> {
        self.state.step(input, self.now)
    }

    fn commit(&mut self, tip: Oid) -> Vec<Action> {
        self.step(Input::Surveyed(survey(Some(tip), 1)))
    }

    fn ended(&mut self, outcome: Outcome, remote: Oid, survey: Survey) -> Vec<Action> {
        self.step(Input::AttemptEnded(Attempted {
            outcome,
            remote: RemoteTip::At(remote),
            lost: None,
            survey: Some(survey),
        }))
    }

    fn pushed(&mut self, tip: Oid) -> Vec<Action> {
        let outcome = Outcome::Pushed(SentPush {
            commit: tip,
            previous: self.state.remote(),
            commits: 1,
            bytes: 100,
        });
        self.ended(outcome, tip, survey(Some(tip), 0))
    }

    fn failed(&mut self, tip: Oid, kind: Kind) -> Vec<Action> {
        let outcome = Outcome::Failed {
            tip: Some(tip),
            failure: Failure::new(kind, "it broke"),
            had_work: false,
            unconfirmed: None,
        };
        self.step(Input::AttemptEnded(Attempted {
            outcome,
            remote: RemoteTip::Unseen,
            lost: None,
            survey: Some(survey(self.state.tip(), 1)),
        }))
    }

    /// As [`Harness::diverged`], where preserving the tip came to this.
    fn diverged_and_preserved(&mut self, tip: Oid, preserved: Result<String, Failure>) -> Vec<Action> {
        let outcome = Outcome::Diverged(Divergence {
            tip,
            failure: Failure::non_fast_forward("diverged", oid(9)),
            comparable: true,
            preserved: Some(preserved),
        });
        self.ended(outcome, oid(9), survey(Some(tip), 1))
    }

    /// The probe in flight found the remote as it was; preserving the tip, if that was tried, came to this.
    fn probed(&mut self, preserved: Option<Result<String, Failure>>) -> Vec<Action> {
        let tip = self.state.tip();
        self.step(Input::ProbeEnded(Probed {
            reconciled: Some(false),
            preserved: tip.zip(preserved),
            evidence: None,
            remote: RemoteTip::At(oid(9)),
            survey: Some(survey(tip, 1)),
        }))
    }

    fn diverged(&mut self, tip: Oid, comparable: bool) -> Vec<Action> {
        let failure = Failure::non_fast_forward("diverged", oid(9));
        let outcome = Outcome::Diverged(Divergence {
            tip,
            failure,
            comparable,
            preserved: None,
        });
        self.ended(outcome, oid(9), survey(Some(tip), 1))
    }

    fn advance(&mut self, by: Duration) {
        self.now = Now {
            instant: self.now.instant + by,
            wall: self.now.wall + by,
        };
    }

    /// Moves to the deadline and fires it.
    fn fire(&mut self) -> Vec<Action> {
        let deadline = self.state.deadline().expect("a timer is set");
        self.advance(deadline - self.now.instant);
        self.step(Input::TimerFired)
    }

    fn name(&self) -> StateName {
        self.state.status().state
    }
}

const ATTEMPT: Action = Action::Attempt {
    preserve: false,
    restore: true,
};
const PRESERVING_ATTEMPT: Action = Action::Attempt {
    preserve: true,
    restore: true,
};

fn survey(tip: Option<Oid>, pending: u64) -> Survey {
    Survey {
        tip,
        pending,
        oldest_pending: None,
        behind: Some(0),
    }
}

fn events(actions: &[Action]) -> Vec<&Event> {
    actions
        .iter()
        .filter_map(|action| {
            if let Action::Emit(event) = action {
                Some(event)
            } else {
                None
            }
        })
        .collect()
}

/// `(commit, attempt, kind)` of the errors among the actions.
fn errors(actions: &[Action]) -> Vec<(Option<Oid>, u32, Kind)> {
    events(actions)
        .into_iter()
        .filter_map(|event| match event {
            Event::Error {
                commit,
                attempt,
                failure,
                ..
            } => Some((*commit, *attempt, failure.kind())),
            _ => None,
        })
        .collect()
}

/// `(attempt, next_delay)` of the retries among the actions.
fn retries(actions: &[Action]) -> Vec<(u32, Duration)> {
    events(actions)
        .into_iter()
        .filter_map(|event| match event {
            Event::Retry {
                attempt, next_delay, ..
            } => Some((*attempt, *next_delay)),
            _ => None,
        })
        .collect()
}

/// The durations of the errors among the actions.
fn durations(actions: &[Action]) -> Vec<Option<Duration>> {
    events(actions)
        .into_iter()
        .filter_map(|event| match event {
            Event::Error { duration, .. } => Some(*duration),
            _ => None,
        })
        .collect()
}

#[test]
fn a_remote_that_is_not_where_it_was_is_looked_at_again() {
    let mut harness = Harness::in_sync(policy());
    assert_eq!(harness.step(Input::RemoteMoved), [ATTEMPT]);
    // Once is enough, however often it is said.
    assert_eq!(harness.step(Input::RemoteMoved), []);
    let actions = harness.ended(Outcome::UpToDate(Some(oid(1))), oid(1), survey(Some(oid(1)), 0));
    assert_eq!(actions, [Action::Confirmed { commit: oid(1) }]);
    assert_eq!(harness.state.status().state, StateName::InSync);
}

#[test]
fn a_doubt_does_not_hurry_a_refused_tip() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    harness.diverged(oid(2), true);
    assert_eq!(harness.step(Input::RemoteMoved), []);
}

#[test]
fn an_up_to_date_start_emits_nothing() {
    let harness = Harness::in_sync(policy());
    assert_eq!(harness.name(), StateName::InSync);
    assert_eq!(harness.state.deadline(), None);
    assert_eq!(harness.state.status().pending_commits, 0);
}

#[test]
fn a_backlog_at_the_start_is_pushed_as_attempt_1() {
    let (mut harness, _) = Harness::start(policy(), Some(oid(2)), Some(oid(1)));
    assert_eq!(harness.name(), StateName::Starting);
    harness.advance(MS(40));
    let actions = harness.pushed(oid(2));
    assert_eq!(
        events(&actions),
        [&Event::Push {
            push: SentPush {
                commit: oid(2),
                previous: Some(oid(1)),
                commits: 1,
                bytes: 100
            },
            attempt: 1,
            duration: MS(40)
        }]
    );
    assert_eq!(harness.name(), StateName::InSync);
}

#[test]
fn a_failure_tells_how_long_its_attempt_took() {
    let (mut harness, _) = Harness::start(policy(), Some(oid(2)), Some(oid(1)));
    harness.advance(MS(40));
    assert_eq!(durations(&harness.failed(oid(2), Kind::Network)), [Some(MS(40))]);
    harness.fire();
    harness.advance(MS(7));
    assert_eq!(durations(&harness.diverged(oid(2), true)), [Some(MS(7))]);
}

#[test]
fn a_new_tip_is_attempted_at_once() {
    let mut harness = Harness::in_sync(policy());
    assert_eq!(harness.commit(oid(2)), [ATTEMPT]);
    assert_eq!(harness.name(), StateName::Pushing);
    assert_eq!(harness.state.status().current_attempt, Some(1));
    harness.pushed(oid(2));
    assert_eq!(harness.state.status().current_attempt, None);
    assert_eq!(harness.state.status().totals.pushes, 1);
}

#[test]
fn being_woken_without_a_new_tip_does_nothing() {
    let mut harness = Harness::in_sync(policy());
    assert_eq!(harness.step(Input::Surveyed(survey(Some(oid(1)), 0))), []);
    assert_eq!(harness.step(Input::Nudge), []);
}

#[test]
fn a_commit_during_a_push_is_pushed_right_after_it() {
    let mut harness = Harness::in_sync(Policy {
        debounce: MS(500),
        ..policy()
    });
    harness.commit(oid(2));
    harness.fire();
    assert_eq!(harness.commit(oid(3)), []);
    let outcome = Outcome::Pushed(SentPush {
        commit: oid(2),
        previous: Some(oid(1)),
        commits: 1,
        bytes: 1,
    });
    let actions = harness.ended(outcome, oid(2), survey(Some(oid(3)), 1));
    assert!(actions.contains(&ATTEMPT), "{actions:?}");
}

#[test]
fn debounce_counts_from_the_first_unpushed_commit() {
    let mut harness = Harness::in_sync(Policy {
        debounce: MS(500),
        ..policy()
    });
    assert_eq!(harness.commit(oid(2)), []);
    assert_eq!(harness.name(), StateName::Debouncing);
    harness.advance(MS(400));
    assert_eq!(harness.commit(oid(3)), []);
    assert_eq!(harness.state.deadline(), Some(harness.now.instant + MS(100)));
    assert_eq!(harness.fire(), [ATTEMPT]);
}

#[test]
fn a_tip_that_goes_back_while_debouncing_needs_no_attempt() {
    let mut harness = Harness::in_sync(Policy {
        debounce: MS(500),
        ..policy()
    });
    harness.commit(oid(2));
    assert_eq!(harness.commit(oid(1)), []);
    assert_eq!(harness.name(), StateName::InSync);
    harness.advance(MS(10_000));
    harness.commit(oid(3));
    assert_eq!(
        harness.name(),
        StateName::Debouncing,
        "the window of the earlier commit has ended"
    );
}

#[test]
fn failures_back_off_and_a_success_recovers() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    for (attempt, delay) in [(1, MS(1000)), (2, MS(2000)), (3, MS(4000))] {
        let actions = harness.failed(oid(2), Kind::Network);
        assert_eq!(errors(&actions), [(Some(oid(2)), attempt, Kind::Network)]);
        assert_eq!(retries(&actions), [(attempt, delay)]);
        assert_eq!(harness.name(), StateName::BackingOff);
        let status = harness.state.status();
        assert_eq!(
            (status.current_backoff, status.current_attempt),
            (Some(delay), Some(attempt))
        );
        assert_eq!(status.next_attempt_at, Some(harness.now.wall + delay));
        assert_eq!(harness.fire(), [ATTEMPT]);
    }
    let actions = harness.pushed(oid(2));
    assert!(matches!(events(&actions)[0], Event::Push { attempt: 4, .. }));
    assert_eq!(
        events(&actions)[1],
        &Event::Recovered {
            commit: oid(2),
            failed_attempts: 3,
            down: MS(7000)
        }
    );
    let status = harness.state.status();
    assert_eq!(
        (
            status.last_error,
            status.consecutive_failures,
            status.totals.failures
        ),
        (None, 0, 3)
    );
    harness.commit(oid(3));
    assert_eq!(
        retries(&harness.failed(oid(3), Kind::Network)),
        [(1, MS(1000))],
        "the delays start over"
    );
}

#[test]
fn a_new_tip_does_not_cut_a_backoff_short() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    harness.failed(oid(2), Kind::Network);
    assert_eq!(harness.commit(oid(3)), []);
    assert_eq!(harness.name(), StateName::BackingOff);
}

#[test]
fn a_nudge_ends_a_backoff_and_a_debounce() {
    let mut harness = Harness::in_sync(Policy {
        debounce: MS(500),
        ..policy()
    });
    harness.commit(oid(2));
    assert_eq!(harness.step(Input::Nudge), [ATTEMPT]);
    harness.failed(oid(2), Kind::Network);
    assert_eq!(harness.step(Input::Nudge), [ATTEMPT]);
    assert_eq!(harness.step(Input::Nudge), [], "one attempt at a time");
}

#[test]
fn the_server_may_ask_for_a_longer_wait() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    let failure = Failure::new(Kind::RemoteError, "busy").with_retry_after(MS(30_000));
    let outcome = Outcome::Failed {
        tip: Some(oid(2)),
        failure,
        had_work: true,
        unconfirmed: None,
    };
    let actions = harness.step(Input::AttemptEnded(Attempted {
        outcome,
        remote: RemoteTip::Unseen,
        lost: None,
        survey: Some(survey(Some(oid(2)), 1)),
    }));
    assert_eq!(retries(&actions), [(1, MS(30_000))]);
}

#[test]
fn an_unreachable_remote_at_the_start_is_attempt_0_without_a_commit() {
    let (mut harness, _) = Harness::start(policy(), Some(oid(1)), None);
    let actions = harness.failed(oid(1), Kind::RemoteError);
    assert_eq!(errors(&actions), [(None, 0, Kind::RemoteError)]);
    assert_eq!(retries(&actions), [(0, MS(1000))]);
    assert_eq!(harness.fire(), [ATTEMPT]);
    assert_eq!(
        errors(&harness.failed(oid(1), Kind::RemoteError)),
        [(Some(oid(1)), 1, Kind::RemoteError)]
    );
}

#[test]
fn no_retries_still_gives_one_error_and_a_new_tip_a_fresh_attempt() {
    let (mut harness, _) = Harness::start(
        Policy {
            max_retries: Some(0),
            ..policy()
        },
        Some(oid(1)),
        None,
    );
    let actions = harness.failed(oid(1), Kind::Network);
    assert_eq!((errors(&actions).len(), retries(&actions).len()), (1, 0));
    assert_eq!(harness.name(), StateName::GaveUp);
    assert!(harness.state.status().running);
    assert_eq!(harness.state.deadline(), None);
    assert_eq!(harness.commit(oid(2)), [ATTEMPT]);
    assert_eq!(
        errors(&harness.failed(oid(2), Kind::Network)),
        [(Some(oid(2)), 1, Kind::Network)]
    );
}

#[test]
fn max_retries_counts_the_attempts_after_the_first() {
    let mut harness = Harness::in_sync(Policy {
        max_retries: Some(2),
        ..policy()
    });
    harness.commit(oid(2));
    let mut seen = (0, 0);
    for _ in 0..3 {
        let actions = harness.failed(oid(2), Kind::Network);
        seen = (seen.0 + errors(&actions).len(), seen.1 + retries(&actions).len());
        if harness.state.deadline().is_some() {
            harness.fire();
        }
    }
    assert_eq!(seen, (3, 2));
    assert_eq!(harness.name(), StateName::GaveUp);
    assert!(harness.state.status().pending_commits > 0);
}

#[test]
fn a_nudge_after_giving_up_starts_afresh_with_all_retries() {
    let mut harness = Harness::in_sync(Policy {
        max_retries: Some(1),
        ..policy()
    });
    harness.commit(oid(2));
    for _ in 0..2 {
        assert_eq!(retries(&harness.failed(oid(2), Kind::Network)), [(1, MS(1000))]);
        assert_eq!(harness.fire(), [ATTEMPT]);
        assert_eq!(retries(&harness.failed(oid(2), Kind::Network)), []);
        assert_eq!(harness.name(), StateName::GaveUp);
        assert_eq!(harness.step(Input::Nudge), [ATTEMPT]);
    }
}

#[test]
fn retries_end_for_a_remote_that_is_never_reached() {
    let mut harness = Harness::in_sync(Policy {
        max_retries: Some(1),
        ..policy()
    });
    harness.commit(oid(2));
    let unreachable = || {
        Input::AttemptEnded(Attempted {
            outcome: Outcome::Failed {
                tip: None,
                failure: Failure::new(Kind::Network, "nobody answers"),
                had_work: false,
                unconfirmed: None,
            },
            remote: RemoteTip::Unseen,
            lost: None,
            survey: Some(survey(Some(oid(2)), 1)),
        })
    };
    let actions = harness.step(unreachable());
    assert_eq!(retries(&actions), [(1, MS(1000))]);
    assert_eq!(harness.fire(), [ATTEMPT]);
    let actions = harness.step(unreachable());
    assert_eq!(errors(&actions), [(Some(oid(2)), 2, Kind::Network)]);
    assert_eq!(retries(&actions), []);
    assert_eq!(harness.name(), StateName::GaveUp);
}

#[test]
fn a_tip_that_arrives_during_the_last_retry_is_still_attempted() {
    let mut harness = Harness::in_sync(Policy {
        max_retries: Some(0),
        ..policy()
    });
    harness.commit(oid(2));
    harness.commit(oid(3));
    assert_eq!(retries(&harness.failed(oid(2), Kind::Network)), [(1, MS(1000))]);
    assert_eq!(harness.fire(), [ATTEMPT]);
}

#[test]
fn a_non_fast_forward_is_one_error_without_a_retry() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    let actions = harness.diverged(oid(2), true);
    assert_eq!(errors(&actions), [(Some(oid(2)), 1, Kind::NonFastForward)]);
    assert_eq!(retries(&actions), []);
    assert_eq!(harness.name(), StateName::Diverged);
    let status = harness.state.status();
    assert_eq!(status.remote_commit, Some(oid(9)));
    assert_eq!(status.pending_commits, 1);
    assert_eq!(
        harness.step(Input::Surveyed(survey(Some(oid(2)), 1))),
        [],
        "the same tip is not tried again"
    );
}

#[test]
fn each_new_tip_of_a_diverged_branch_gives_exactly_one_error() {
    let mut harness = Harness::in_sync(policy());
    for byte in 2..6 {
        assert!(harness.commit(oid(byte)).contains(&ATTEMPT));
        assert_eq!(
            errors(&harness.diverged(oid(byte), true)),
            [(Some(oid(byte)), 1, Kind::NonFastForward)]
        );
    }
}

#[test]
fn asking_again_about_the_same_diverged_tip_is_no_second_error() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    harness.diverged(oid(2), true);
    assert_eq!(harness.step(Input::Nudge), [ATTEMPT]);
    let actions = harness.diverged(oid(2), true);
    assert_eq!(events(&actions), Vec::<&Event>::new());
    assert!(
        matches!(actions[..], [Action::Refused { terminal: true, .. }]),
        "but who asked is told"
    );
}

#[test]
fn a_tip_that_was_given_up_and_then_found_diverged_is_an_error() {
    let mut harness = Harness::in_sync(Policy {
        max_retries: Some(0),
        ..policy()
    });
    harness.commit(oid(2));
    harness.failed(oid(2), Kind::Network);
    harness.step(Input::Nudge);
    assert_eq!(
        errors(&harness.diverged(oid(2), true)),
        [(Some(oid(2)), 1, Kind::NonFastForward)]
    );
}

#[test]
fn where_nothing_is_known_of_the_remote_the_first_check_says_so() {
    let (mut harness, _) = Harness::start(policy(), Some(oid(1)), None);
    assert_eq!(
        errors(&harness.diverged(oid(1), false)),
        [(None, 0, Kind::NonFastForward)]
    );
    assert_eq!(harness.commit(oid(2)), [ATTEMPT]);
    assert_eq!(
        errors(&harness.diverged(oid(2), false)),
        [(Some(oid(2)), 1, Kind::NonFastForward)]
    );
}

#[test]
fn a_probe_that_sees_the_remote_reconciled_resumes() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    harness.diverged(oid(2), true);
    let probe_ended = |reconciled| {
        Input::ProbeEnded(Probed {
            reconciled,
            preserved: None,
            evidence: None,
            remote: RemoteTip::At(oid(9)),
            survey: Some(survey(Some(oid(2)), 1)),
        })
    };
    for unchanged in [Some(false), None] {
        assert_eq!(harness.fire(), [Action::Probe { preserve: false }]);
        assert_eq!(harness.name(), StateName::Diverged);
        assert_eq!(harness.step(probe_ended(unchanged)), []);
        assert_eq!(harness.state.deadline(), Some(harness.now.instant + MS(60_000)));
    }
    harness.fire();
    assert_eq!(harness.step(probe_ended(Some(true))), [ATTEMPT]);
    let actions = harness.pushed(oid(2));
    assert!(matches!(
        events(&actions)[..],
        [
            Event::Push { .. },
            Event::Recovered {
                failed_attempts: 1,
                ..
            }
        ]
    ));
}

#[test]
fn a_new_tip_replaces_a_probe_in_flight() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    harness.diverged(oid(2), true);
    harness.fire();
    assert_eq!(harness.commit(oid(3)), [ATTEMPT]);
}

#[test]
fn without_probing_a_diverged_daemon_sets_no_timer() {
    let mut harness = Harness::in_sync(Policy {
        diverged_probe: None,
        ..policy()
    });
    harness.commit(oid(2));
    harness.diverged(oid(2), true);
    assert_eq!(harness.state.deadline(), None);
}

#[test]
fn a_local_tip_is_preserved_once() {
    let mut harness = Harness::in_sync(Policy {
        preserve: true,
        ..policy()
    });
    assert_eq!(harness.commit(oid(2)), [PRESERVING_ATTEMPT]);
    let actions = harness.diverged_and_preserved(oid(2), Ok("refs/heads/conflicts/1".into()));
    assert!(matches!(
        events(&actions)[..],
        [Event::Error { .. }, Event::Preserved { .. }]
    ));
    assert_eq!(harness.step(Input::Nudge), [ATTEMPT]);
    harness.diverged(oid(2), true);
    assert_eq!(harness.commit(oid(3)), [PRESERVING_ATTEMPT]);
}

#[test]
fn a_failure_to_preserve_is_told_but_the_divergence_stays_the_last_error() {
    let mut harness = Harness::in_sync(Policy {
        preserve: true,
        ..policy()
    });
    harness.commit(oid(2));
    let actions = harness.diverged_and_preserved(oid(2), Err(Failure::new(Kind::Rejected, "no")));
    let kinds: Vec<Kind> = errors(&actions).into_iter().map(|(_, _, kind)| kind).collect();
    assert_eq!(kinds, [Kind::NonFastForward, Kind::Rejected]);
    assert_eq!(durations(&actions), [Some(Duration::ZERO), None]);
    let last = harness.state.status().last_error.expect("kept");
    assert_eq!(last.failure.kind(), Kind::NonFastForward);
}

#[test]
fn a_push_without_an_answer_that_arrived_all_the_same_is_reported() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    let sent = SentPush {
        commit: oid(2),
        previous: Some(oid(1)),
        commits: 1,
        bytes: 50,
    };
    let outcome = Outcome::Failed {
        tip: Some(oid(2)),
        failure: Failure::new(Kind::Network, "cut"),
        had_work: true,
        unconfirmed: Some(sent),
    };
    harness.step(Input::AttemptEnded(Attempted {
        outcome,
        remote: RemoteTip::Unseen,
        lost: None,
        survey: Some(survey(Some(oid(2)), 1)),
    }));
    harness.fire();
    let actions = harness.ended(Outcome::UpToDate(Some(oid(2))), oid(2), survey(Some(oid(2)), 0));
    assert_eq!(
        events(&actions),
        [
            &Event::Push {
                push: SentPush {
                    commit: oid(2),
                    previous: Some(oid(1)),
                    commits: 1,
                    bytes: 50
                },
                attempt: 2,
                duration: MS(1000)
            },
            &Event::Recovered {
                commit: oid(2),
                failed_attempts: 1,
                down: MS(1000)
            },
        ]
    );
}

#[test]
fn a_step_without_an_answer_is_reported_when_the_next_one_begins_there() {
    let step = |commit, previous| SentPush {
        commit: oid(commit),
        previous: Some(oid(previous)),
        commits: 1,
        bytes: 50,
    };
    let cut = |unconfirmed| Outcome::Failed {
        tip: Some(oid(4)),
        failure: Failure::new(Kind::Network, "cut"),
        had_work: true,
        unconfirmed,
    };
    let is_push = |event: &Event, of: SentPush| matches!(event, Event::Push { push, .. } if *push == of);

    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(4));
    harness.ended(cut(Some(step(2, 1))), oid(1), survey(Some(oid(4)), 3));
    harness.fire();
    let actions = harness.ended(Outcome::Pushed(step(3, 2)), oid(3), survey(Some(oid(4)), 1));
    let [first, second, Event::Recovered { .. }] = events(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert!(
        is_push(first, step(2, 1)) && is_push(second, step(3, 2)),
        "{actions:?}"
    );
    assert!(actions.contains(&Action::Confirmed { commit: oid(2) }));
    assert_eq!(
        harness.name(),
        StateName::Pushing,
        "the last step follows at once"
    );
    assert_eq!(harness.state.status().totals.pushes, 2);

    // The remote may answer after the next attempt has begun.
    let mut late = Harness::in_sync(policy());
    late.commit(oid(4));
    for unconfirmed in [step(2, 1), step(3, 1)] {
        late.ended(cut(Some(unconfirmed)), oid(1), survey(Some(oid(4)), 3));
        late.fire();
    }
    let actions = late.ended(Outcome::Pushed(step(4, 2)), oid(4), survey(Some(oid(4)), 0));
    let [first, second, Event::Recovered { .. }] = events(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert!(
        is_push(first, step(2, 1)) && is_push(second, step(4, 2)),
        "{actions:?}"
    );

    // Another attempt that fails may find that it had arrived.
    harness.ended(cut(Some(step(4, 3))), oid(3), survey(Some(oid(4)), 1));
    harness.fire();
    let actions = harness.ended(cut(None), oid(4), survey(Some(oid(4)), 0));
    let [first, Event::Error { .. }, ..] = events(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert!(is_push(first, step(4, 3)), "{actions:?}");
}

#[test]
fn a_commit_that_somebody_else_pushed_is_no_push_of_ours() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    let actions = harness.ended(Outcome::UpToDate(Some(oid(2))), oid(2), survey(Some(oid(2)), 0));
    assert_eq!(actions, [Action::Confirmed { commit: oid(2) }]);
}

#[test]
fn a_branch_that_does_not_exist_yet_waits_for_its_first_commit() {
    let (mut harness, actions) = Harness::start(policy(), None, None);
    assert_eq!(actions, []);
    assert_eq!(harness.name(), StateName::InSync);
    assert_eq!(harness.commit(oid(1)), [ATTEMPT]);
    assert_eq!(
        errors(&harness.failed(oid(1), Kind::Network)),
        [(Some(oid(1)), 1, Kind::Network)]
    );
}

#[test]
fn a_deleted_branch_is_left_alone() {
    let mut harness = Harness::in_sync(policy());
    assert_eq!(harness.step(Input::Surveyed(survey(None, 0))), []);
    assert_eq!(harness.name(), StateName::InSync);
}

#[test]
fn stopping_in_sync_ends_at_once() {
    let mut harness = Harness::in_sync(policy());
    assert_eq!(harness.step(Input::Stop { timeout: MS(1000) }), [Action::Finish]);
    let status = harness.state.status();
    assert_eq!((status.state, status.running), (StateName::Stopped, false));
    assert!(harness.state.is_in_sync());
    assert_eq!(harness.step(Input::Stop { timeout: MS(1000) }), []);
    assert_eq!(harness.commit(oid(2)), []);
}

#[test]
fn stopping_during_a_push_waits_for_it_and_for_what_came_since() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    assert_eq!(harness.step(Input::Stop { timeout: MS(1000) }), []);
    assert_eq!(harness.name(), StateName::Stopping);
    let outcome = Outcome::Pushed(SentPush {
        commit: oid(2),
        previous: Some(oid(1)),
        commits: 1,
        bytes: 1,
    });
    let actions = harness.ended(outcome, oid(2), survey(Some(oid(3)), 1));
    assert_eq!(actions.last(), Some(&ATTEMPT));
    assert_eq!(harness.pushed(oid(3)).last(), Some(&Action::Finish));
}

#[test]
fn stopping_ends_a_backoff_and_retries_within_the_deadline() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    for _ in 0..5 {
        harness.failed(oid(2), Kind::Network);
        harness.fire();
    }
    harness.failed(oid(2), Kind::Network);
    assert_eq!(harness.step(Input::Stop { timeout: MS(5000) }), [ATTEMPT]);
    assert_eq!(
        retries(&harness.failed(oid(2), Kind::Network))[0].1,
        MS(1000),
        "short delays again"
    );
    harness.fire();
    assert_eq!(harness.pushed(oid(2)).last(), Some(&Action::Finish));
}

#[test]
fn a_drain_retries_even_when_the_base_delay_is_longer_than_what_is_left() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    harness.step(Input::Stop { timeout: MS(400) });
    let mut attempts = 1;
    let mut actions = harness.failed(oid(2), Kind::Network);
    while actions.last() != Some(&Action::Finish) {
        actions = harness.fire();
        if actions == [ATTEMPT] {
            attempts += 1;
            actions = harness.failed(oid(2), Kind::Network);
        }
        assert!(attempts < 20, "the drain ends");
    }
    assert!(attempts >= 3, "{attempts}");
    assert!(!harness.state.is_in_sync());
}

#[test]
fn the_drains_deadline_cancels_what_is_in_flight() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    harness.step(Input::Stop { timeout: MS(1000) });
    assert_eq!(harness.fire(), [Action::Cancel, Action::Finish]);
    assert_eq!(harness.state.status().pending_commits, 1);
}

#[test]
fn a_drain_without_time_starts_nothing() {
    let mut harness = Harness::in_sync(Policy {
        debounce: MS(500),
        ..policy()
    });
    harness.commit(oid(2));
    assert_eq!(
        harness.step(Input::Stop {
            timeout: Duration::ZERO
        }),
        [Action::Finish]
    );
}

#[test]
fn stopping_while_diverged_does_not_try_the_same_tip_again() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    harness.diverged(oid(2), true);
    assert_eq!(harness.step(Input::Stop { timeout: MS(1000) }), [Action::Finish]);
    assert!(!harness.state.is_in_sync());
}

#[test]
fn stopping_after_giving_up_makes_one_last_attempt() {
    let mut harness = Harness::in_sync(Policy {
        max_retries: Some(0),
        ..policy()
    });
    harness.commit(oid(2));
    harness.failed(oid(2), Kind::Network);
    assert_eq!(harness.step(Input::Stop { timeout: MS(1000) }), [ATTEMPT]);
    assert_eq!(
        harness.failed(oid(2), Kind::Network).last(),
        Some(&Action::Finish)
    );
}

#[test]
fn stopping_during_the_first_check_waits_for_it() {
    let (mut harness, _) = Harness::start(policy(), Some(oid(2)), Some(oid(1)));
    assert_eq!(harness.step(Input::Stop { timeout: MS(1000) }), []);
    assert_eq!(harness.pushed(oid(2)).last(), Some(&Action::Finish));
}

#[test]
fn only_work_that_is_under_way_keeps_the_process_alive() {
    let mut harness = Harness::in_sync(Policy {
        debounce: MS(500),
        ..policy()
    });
    assert!(!harness.state.is_busy());
    harness.commit(oid(2));
    assert!(harness.state.is_busy(), "debouncing");
    harness.fire();
    assert!(harness.state.is_busy(), "pushing");
    harness.failed(oid(2), Kind::Network);
    assert!(!harness.state.is_busy(), "backing off");
}

#[test]
fn a_branch_that_cannot_be_read_leads_to_an_attempt_that_reports_why() {
    let mut harness = Harness::in_sync(policy());
    assert_eq!(harness.step(Input::Unreadable), [ATTEMPT]);
    assert!(!harness.state.is_in_sync());
    assert_eq!(harness.step(Input::Unreadable), []);
    let failure = Failure::new(Kind::Local, "gone");
    let outcome = Outcome::Failed {
        tip: None,
        failure,
        had_work: false,
        unconfirmed: None,
    };
    let actions = harness.step(Input::AttemptEnded(Attempted {
        outcome,
        remote: RemoteTip::Unseen,
        lost: None,
        survey: None,
    }));
    assert_eq!(errors(&actions), [(Some(oid(1)), 1, Kind::Local)]);
    assert_eq!(harness.step(Input::Unreadable), [], "no spin");
    harness.fire();
    let actions = harness.ended(Outcome::UpToDate(Some(oid(1))), oid(1), survey(Some(oid(1)), 0));
    assert!(matches!(events(&actions)[..], [Event::Recovered { .. }]));
}

/// A diverged daemon whose tip could not be preserved.
fn unpreserved(diverged_probe: Option<Duration>) -> Harness {
    let mut harness = Harness::in_sync(Policy {
        preserve: true,
        diverged_probe,
        ..policy()
    });
    harness.commit(oid(2));
    let actions = harness.diverged_and_preserved(oid(2), Err(Failure::new(Kind::Rejected, "no")));
    assert_eq!(errors(&actions).len(), 2);
    harness
}

#[test]
fn a_tip_that_could_not_be_preserved_is_tried_again_until_it_is_there() {
    let mut harness = unpreserved(None);
    let started = harness.now.instant;
    for seconds in [1, 3, 7] {
        assert_eq!(harness.fire(), [Action::Probe { preserve: true }]);
        assert_eq!(
            harness.now.instant - started,
            Duration::from_secs(seconds),
            "with the backoff's delays"
        );
        assert_eq!(harness.name(), StateName::Diverged);
        assert!(harness.state.is_busy(), "it is a push");
        assert_eq!(
            harness.probed(Some(Err(Failure::new(Kind::Rejected, "no")))),
            [],
            "and without another error"
        );
        assert!(!harness.state.is_busy());
    }
    assert_eq!(harness.fire(), [Action::Probe { preserve: true }]);
    let actions = harness.probed(Some(Ok("refs/heads/conflicts/1".into())));
    assert!(matches!(events(&actions)[..], [Event::Preserved { .. }]));
    assert_eq!(harness.state.deadline(), None);
    assert_eq!(harness.step(Input::Nudge), [ATTEMPT], "once for each tip");
}

#[test]
fn a_tip_is_not_preserved_later_than_the_next_probe() {
    let mut harness = unpreserved(Some(MS(1500)));
    for expected in [1000, 1500, 1500] {
        let before = harness.now.instant;
        harness.fire();
        assert_eq!(harness.now.instant - before, MS(expected));
        harness.probed(None);
    }
}

#[test]
fn another_reason_why_a_tip_is_not_preserved_is_told() {
    let mut harness = unpreserved(None);
    harness.fire();
    let actions = harness.probed(Some(Err(Failure::new(Kind::Auth, "who?"))));
    assert_eq!(errors(&actions), [(Some(oid(2)), 1, Kind::Auth)]);
    let last = harness.state.status().last_error.expect("kept");
    assert_eq!(last.failure.kind(), Kind::NonFastForward);
}

#[test]
fn stopping_tries_once_more_to_preserve_the_tip() {
    let mut harness = unpreserved(None);
    assert_eq!(
        harness.step(Input::Stop { timeout: MS(1000) }),
        [Action::Probe { preserve: true }]
    );
    assert_eq!(harness.name(), StateName::Stopping);
    let actions = harness.probed(Some(Ok("refs/heads/conflicts/1".into())));
    assert!(matches!(
        actions[..],
        [Action::Emit(Event::Preserved { .. }), Action::Finish]
    ));
}

#[test]
fn stopping_waits_for_a_tip_that_is_being_preserved_until_the_deadline() {
    let mut harness = unpreserved(None);
    harness.fire();
    assert_eq!(harness.step(Input::Stop { timeout: MS(1000) }), []);
    assert_eq!(harness.fire(), [Action::Cancel, Action::Finish]);
}

#[test]
fn a_diverged_branch_that_is_set_back_to_an_older_tip_is_looked_at_anew() {
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    harness.diverged(oid(2), true);
    assert_eq!(
        harness.commit(oid(1)),
        [ATTEMPT],
        "the remote had it, but has moved since"
    );
}

#[test]
fn a_refused_branch_that_is_deleted_rests_and_is_tried_when_it_is_there_again() {
    for is_diverged in [true, false] {
        let mut harness = Harness::in_sync(Policy {
            max_retries: Some(0),
            ..policy()
        });
        harness.commit(oid(2));
        if is_diverged {
            harness.diverged(oid(2), true);
        } else {
            harness.failed(oid(2), Kind::Network);
        }
        assert_eq!(harness.step(Input::Surveyed(survey(None, 0))), []);
        assert_eq!(harness.name(), StateName::InSync);
        assert_eq!(harness.state.deadline(), None);
        assert_eq!(harness.commit(oid(2)), [ATTEMPT]);
    }
}

#[test]
fn a_wall_clock_that_jumps_changes_no_delay() {
    for jump in [
        |wall: SystemTime| wall + Duration::from_secs(10 * 365 * 86_400),
        |wall: SystemTime| wall - Duration::from_secs(10 * 365 * 86_400),
    ] {
        let mut harness = Harness::in_sync(Policy {
            debounce: MS(500),
            ..policy()
        });
        harness.commit(oid(2));
        harness.now.wall = jump(harness.now.wall);
        let debounced = harness.now.instant + MS(500);
        assert_eq!(harness.state.deadline(), Some(debounced));
        assert_eq!(harness.fire(), [ATTEMPT]);
        harness.now.wall = jump(harness.now.wall);
        assert_eq!(retries(&harness.failed(oid(2), Kind::Network)), [(1, MS(1000))]);
        harness.now.wall = jump(harness.now.wall);
        assert_eq!(
            harness.step(Input::TimerFired),
            [],
            "a timer that fires early does nothing"
        );
        assert_eq!(harness.state.deadline(), Some(harness.now.instant + MS(1000)));
        assert_eq!(harness.fire(), [ATTEMPT]);
        harness.now.wall = jump(harness.now.wall);
        harness.advance(MS(250));
        let actions = harness.pushed(oid(2));
        let [Event::Push { duration, .. }, Event::Recovered { down, .. }] = events(&actions)[..] else {
            panic!("{actions:?}");
        };
        assert_eq!((*duration, *down), (MS(250), MS(1250)));
        harness.commit(oid(3));
        harness.fire();
        harness.diverged(oid(3), true);
        harness.now.wall = jump(harness.now.wall);
        assert_eq!(harness.state.deadline(), Some(harness.now.instant + MS(60_000)));
        harness.step(Input::Stop { timeout: MS(1000) });
        assert_eq!(harness.name(), StateName::Stopped);
    }
}

#[test]
fn commits_are_pending_since_they_were_seen_or_outlasted_a_success() {
    let mut harness = Harness::in_sync(policy());
    let pending_since = |harness: &Harness| harness.state.status().pending_since;
    assert_eq!(pending_since(&harness), None);
    let seen = harness.now.instant;
    harness.commit(oid(2));
    harness.advance(MS(100));
    harness.failed(oid(2), Kind::Network);
    harness.commit(oid(3));
    assert_eq!(pending_since(&harness), Some(seen));
    harness.fire();
    harness.advance(MS(100));
    let outcome = Outcome::Pushed(SentPush {
        commit: oid(2),
        previous: Some(oid(1)),
        commits: 1,
        bytes: 100,
    });
    harness.ended(outcome, oid(2), survey(Some(oid(3)), 1));
    assert_eq!(pending_since(&harness), Some(harness.now.instant));
    harness.pushed(oid(3));
    assert_eq!(pending_since(&harness), None);
}

#[test]
fn a_repository_that_is_there_again_is_attempted_at_once() {
    for max_retries in [None, Some(0)] {
        let mut harness = Harness::in_sync(Policy {
            max_retries,
            ..policy()
        });
        assert_eq!(harness.step(Input::Unreadable), [ATTEMPT]);
        harness.failed(oid(1), Kind::Local);
        assert_eq!(harness.step(Input::Unreadable), []);
        assert_eq!(harness.commit(oid(1)), [ATTEMPT]);
        harness.failed(oid(1), Kind::Local);
        assert_eq!(
            harness.commit(oid(1)),
            [],
            "once, though the attempt fails for another reason"
        );
    }
}

const VERIFY: Duration = Duration::from_secs(10);

fn verifying() -> Policy {
    Policy {
        verify: Some(VERIFY),
        ..policy()
    }
}

fn leaving() -> Policy {
    Policy {
        restore: false,
        ..verifying()
    }
}

fn lost(from: u8, to: u8) -> Lost {
    Lost {
        regression: Regression {
            from: oid(from),
            to: Some(oid(to)),
            commits: u64::from(from - to),
        },
        is_all: true,
    }
}

impl Harness {
    /// The time of the next reading has come.
    fn read_remote(&mut self) {
        assert_eq!(self.fire(), [Action::Verify]);
    }

    fn verified(&mut self, verdict: Verdict, remote: RemoteTip, lost: Option<Lost>) -> Vec<Action> {
        let tip = self.state.tip();
        let pending = u64::from(matches!(verdict, Verdict::Lacks(_)));
        self.step(Input::VerificationEnded(Verified {
            verdict,
            remote,
            lost,
            survey: Some(survey(tip, pending)),
        }))
    }

    fn holds(&mut self) -> Vec<Action> {
        let tip = self.state.tip().expect("there is a branch");
        self.verified(Verdict::Holds(Some(tip)), RemoteTip::At(tip), None)
    }

    /// The reading finds the remote set back from the local tip.
    fn set_back(&mut self, tip: u8) -> Vec<Action> {
        self.verified(
            Verdict::Lacks(oid(tip)),
            RemoteTip::At(oid(tip - 1)),
            Some(lost(tip, tip - 1)),
        )
    }

    fn unreachable(&mut self, kind: Kind) -> Vec<Action> {
        let failure = Failure::new(kind, "it broke");
        self.verified(Verdict::Failed(failure), RemoteTip::Unseen, None)
    }
}

/// The waits of the regressions among the actions.
fn regressions(actions: &[Action]) -> Vec<Option<Duration>> {
    events(actions)
        .into_iter()
        .filter_map(|event| match event {
            Event::Regressed { next_delay, .. } => Some(*next_delay),
            _ => None,
        })
        .collect()
}

#[test]
fn the_remote_is_read_again_and_again_while_in_sync() {
    let mut harness = Harness::in_sync(verifying());
    for _ in 0..20 {
        let before = harness.now;
        harness.read_remote();
        let waited = harness.now.instant - before.instant;
        assert!(
            (VERIFY.mul_f64(0.8)..=VERIFY).contains(&waited),
            "{waited:?}: with jitter"
        );
        assert_eq!(harness.name(), StateName::InSync);
        assert!(!harness.state.is_busy(), "it does not keep the process alive");
        assert_eq!(harness.holds(), [Action::Confirmed { commit: oid(1) }]);
        assert_eq!(harness.state.status().verified_at, Some(harness.now.wall));
    }
    assert_eq!(harness.state.status().totals, Totals::default());
}

#[test]
fn a_push_counts_as_a_reading() {
    let mut harness = Harness::in_sync(verifying());
    harness.advance(VERIFY / 2);
    harness.commit(oid(2));
    harness.pushed(oid(2));
    assert_eq!(harness.state.status().verified_at, Some(harness.now.wall));
    let due = harness.state.deadline().expect("the next reading");
    assert!(due - harness.now.instant >= VERIFY.mul_f64(0.8));
}

#[test]
fn the_remote_is_not_read_where_that_is_off_or_there_is_no_branch() {
    assert_eq!(Harness::in_sync(policy()).state.deadline(), None);
    let (harness, _) = Harness::start(verifying(), None, None);
    assert_eq!(harness.state.deadline(), None);
}

#[test]
fn a_commit_does_not_wait_for_a_reading() {
    let mut harness = Harness::in_sync(verifying());
    harness.read_remote();
    assert_eq!(harness.commit(oid(2)), [ATTEMPT], "which replaces the reading");
    harness.pushed(oid(2));
    harness.read_remote();
    assert_eq!(
        harness.step(Input::Stop { timeout: MS(1000) }),
        [Action::Cancel, Action::Finish]
    );
}

#[test]
fn a_remote_that_was_set_back_is_told_and_brought_forward_at_once() {
    let mut harness = Harness::in_sync(verifying());
    harness.commit(oid(2));
    harness.pushed(oid(2));
    harness.read_remote();
    let actions = harness.set_back(2);
    assert_eq!(
        actions,
        [
            Action::Emit(Event::Regressed {
                regression: lost(2, 1).regression,
                next_delay: Some(Duration::ZERO),
            }),
            ATTEMPT
        ]
    );
    assert_eq!(harness.name(), StateName::Pushing);
    assert_eq!(harness.state.status().remote_commit, Some(oid(1)));
    let actions = harness.pushed(oid(2));
    assert!(
        matches!(events(&actions)[..], [Event::Push { attempt: 1, .. }]),
        "and nothing recovered"
    );
    assert_eq!(harness.state.status().totals.regressions, 1);
}

#[test]
fn a_branch_that_is_gone_is_told_and_made_again() {
    let mut harness = Harness::in_sync(verifying());
    harness.read_remote();
    let gone = Lost {
        regression: Regression {
            from: oid(1),
            to: None,
            commits: 1,
        },
        is_all: true,
    };
    let actions = harness.verified(Verdict::Lacks(oid(1)), RemoteTip::Absent, Some(gone));
    assert_eq!(regressions(&actions), [Some(Duration::ZERO)]);
    assert_eq!(actions.last(), Some(&ATTEMPT));
    assert_eq!(harness.state.status().remote_commit, None);
}

#[test]
fn a_remote_that_is_set_back_again_and_again_is_brought_forward_ever_later() {
    let mut harness = Harness::in_sync(verifying());
    let mut delays = Vec::new();
    for _ in 0..5 {
        harness.read_remote();
        let mut actions = harness.set_back(1);
        delays.extend(regressions(&actions));
        if actions.last() != Some(&ATTEMPT) {
            assert_eq!(harness.name(), StateName::BackingOff);
            assert!(harness.state.status().next_attempt_at.is_some());
            actions = harness.fire();
        }
        assert_eq!(actions.last(), Some(&ATTEMPT));
        harness.pushed(oid(1));
    }
    assert_eq!(delays, [0, 1000, 2000, 4000, 8000].map(|delay| Some(MS(delay))));
    harness.read_remote();
    harness.holds();
    harness.read_remote();
    let actions = harness.set_back(1);
    assert_eq!(
        regressions(&actions),
        [Some(Duration::ZERO)],
        "it held for a time"
    );
}

#[test]
fn a_regression_that_a_push_finds_is_told_with_it() {
    let mut harness = Harness::in_sync(verifying());
    let set_back_before_push = |harness: &mut Harness, tip: u8| {
        let sent = SentPush {
            commit: oid(tip),
            previous: Some(oid(tip - 2)),
            commits: 2,
            bytes: 100,
        };
        harness.step(Input::AttemptEnded(Attempted {
            outcome: Outcome::Pushed(sent),
            remote: RemoteTip::At(oid(tip)),
            lost: Some(lost(tip - 1, tip - 2)),
            survey: Some(survey(Some(oid(tip)), 0)),
        }))
    };
    harness.commit(oid(3));
    let actions = set_back_before_push(&mut harness, 3);
    assert!(matches!(
        events(&actions)[..],
        [Event::Regressed { .. }, Event::Push { .. }]
    ));
    // The connection that is kept for the next push shows that it happens after each one.
    harness.commit(oid(4));
    set_back_before_push(&mut harness, 4);
    assert_eq!(harness.step(Input::RemoteMoved), [], "no spin");
    assert_eq!(harness.name(), StateName::BackingOff);
    assert_eq!(harness.fire(), [ATTEMPT]);
}

#[test]
fn a_remote_that_lost_commits_on_purpose_is_left_until_the_next_commit_or_a_flush() {
    let mut harness = Harness::in_sync(leaving());
    harness.read_remote();
    let actions = harness.set_back(1);
    assert_eq!(regressions(&actions), [None]);
    assert!(
        matches!(actions[1], Action::Refused { terminal: true, .. }),
        "{actions:?}"
    );
    assert_eq!(actions.len(), 2);
    assert_eq!(harness.name(), StateName::Regressed);
    assert!(harness.state.refusal().is_some());
    assert!(!harness.state.is_in_sync());
    // It is read further on, and told of once.
    for _ in 0..3 {
        harness.read_remote();
        assert_eq!(harness.name(), StateName::Regressed);
        assert_eq!(
            harness.verified(Verdict::Lacks(oid(1)), RemoteTip::At(oid(0)), Some(lost(1, 0))),
            []
        );
        assert_eq!(harness.name(), StateName::Regressed);
    }
    assert_eq!(harness.step(Input::Nudge), [ATTEMPT], "a flush");
    harness.pushed(oid(1));
    assert_eq!(harness.name(), StateName::InSync);
    harness.read_remote();
    harness.set_back(1);
    let attempt = Action::Attempt {
        preserve: false,
        restore: false,
    };
    assert_eq!(harness.commit(oid(2)), [attempt], "another commit");
    harness.pushed(oid(2));
    assert_eq!(harness.name(), StateName::InSync);
}

#[test]
fn what_a_person_put_back_is_in_sync_again() {
    let mut harness = Harness::in_sync(leaving());
    harness.read_remote();
    harness.set_back(1);
    harness.read_remote();
    assert_eq!(harness.holds(), [Action::Confirmed { commit: oid(1) }]);
    assert_eq!(harness.name(), StateName::InSync);
    assert_eq!(harness.state.refusal(), None);
}

#[test]
fn an_attempt_leaves_what_the_remote_lost_unless_a_flush_came_meanwhile() {
    let (mut harness, _) = Harness::start(leaving(), Some(oid(2)), Some(oid(2)));
    let left = |harness: &mut Harness| {
        harness.step(Input::AttemptEnded(Attempted {
            outcome: Outcome::Left(oid(2)),
            remote: RemoteTip::At(oid(1)),
            lost: Some(lost(2, 1)),
            survey: Some(survey(Some(oid(2)), 1)),
        }))
    };
    let actions = left(&mut harness);
    assert_eq!(regressions(&actions), [None]);
    assert_eq!(harness.name(), StateName::Regressed);
    let (mut flushed, _) = Harness::start(leaving(), Some(oid(2)), Some(oid(2)));
    flushed.step(Input::Nudge);
    assert_eq!(left(&mut flushed).last(), Some(&ATTEMPT));
}

#[test]
fn a_remote_that_cannot_be_read_is_an_error_with_retries_until_it_can() {
    let mut harness = Harness::in_sync(verifying());
    harness.read_remote();
    let actions = harness.unreachable(Kind::Auth);
    assert_eq!(errors(&actions), [(None, 0, Kind::Auth)]);
    assert_eq!(retries(&actions), [(0, MS(1000))]);
    assert_eq!(actions.len(), 2, "no request waits for it");
    assert_eq!(harness.name(), StateName::BackingOff);
    assert!(harness.state.is_in_sync(), "the remote had confirmed everything");
    for delay in [2000, 4000, 8000, 10_000, 10_000] {
        harness.read_remote();
        assert_eq!(harness.name(), StateName::BackingOff);
        let actions = harness.unreachable(Kind::Auth);
        assert_eq!(
            retries(&actions),
            [(0, MS(delay))],
            "at the latest after the usual time"
        );
    }
    harness.read_remote();
    let actions = harness.holds();
    assert!(matches!(
        events(&actions)[..],
        [Event::Recovered {
            failed_attempts: 6,
            ..
        }]
    ));
    assert_eq!(harness.name(), StateName::InSync);
    assert_eq!(harness.state.status().last_error, None);
}

#[test]
fn a_commit_is_pushed_at_once_though_the_remote_could_not_be_read() {
    let mut harness = Harness::in_sync(verifying());
    harness.read_remote();
    harness.unreachable(Kind::Network);
    assert_eq!(harness.commit(oid(2)), [ATTEMPT]);
    let actions = harness.pushed(oid(2));
    assert!(matches!(
        events(&actions)[..],
        [Event::Push { .. }, Event::Recovered { .. }]
    ));
}

#[test]
fn failures_to_read_do_not_make_the_retries_of_a_commit_later() {
    let mut harness = Harness::in_sync(verifying());
    for _ in 0..10 {
        harness.read_remote();
        harness.unreachable(Kind::Network);
    }
    harness.commit(oid(2));
    assert_eq!(retries(&harness.failed(oid(2), Kind::Network)), [(1, MS(1000))]);
}

#[test]
fn a_commit_that_lands_during_a_reading_is_pushed_though_the_rest_is_left() {
    let mut harness = Harness::in_sync(leaving());
    harness.read_remote();
    // The branch is read again at the end of the reading.
    let actions = harness.step(Input::VerificationEnded(Verified {
        verdict: Verdict::Lacks(oid(1)),
        remote: RemoteTip::At(oid(0)),
        lost: Some(lost(1, 0)),
        survey: Some(survey(Some(oid(2)), 2)),
    }));
    assert_eq!(regressions(&actions), [None]);
    let attempt = Action::Attempt {
        preserve: false,
        restore: false,
    };
    assert_eq!(actions.last(), Some(&attempt));
}

#[test]
fn a_new_commit_does_not_wait_for_a_remote_that_loses_others() {
    let mut harness = Harness::in_sync(verifying());
    for _ in 0..2 {
        harness.read_remote();
        harness.set_back(1);
        if harness.name() == StateName::BackingOff {
            break;
        }
        harness.pushed(oid(1));
    }
    assert_eq!(harness.name(), StateName::BackingOff);
    assert_eq!(harness.commit(oid(2)), [ATTEMPT]);
    harness.pushed(oid(2));
    assert_eq!(harness.commit(oid(3)), [ATTEMPT]);
}

#[test]
fn a_branch_that_is_deleted_while_the_remote_cannot_be_read_needs_nothing() {
    let mut harness = Harness::in_sync(verifying());
    harness.read_remote();
    harness.unreachable(Kind::Network);
    assert_eq!(harness.step(Input::Surveyed(survey(None, 0))), []);
    assert_eq!(harness.name(), StateName::InSync);
    assert_eq!(harness.state.deadline(), None);
}

#[test]
fn stopping_while_the_remote_cannot_be_read_ends_at_once() {
    let mut harness = Harness::in_sync(verifying());
    harness.read_remote();
    harness.unreachable(Kind::Network);
    assert_eq!(harness.step(Input::Stop { timeout: MS(1000) }), [Action::Finish]);
    assert!(harness.state.is_in_sync());
}

#[test]
fn a_reading_that_finds_a_divergence_leads_to_the_attempt_that_tells_of_it() {
    let mut harness = Harness::in_sync(verifying());
    harness.read_remote();
    let actions = harness.verified(Verdict::Diverged, RemoteTip::At(oid(9)), None);
    assert_eq!(actions, [ATTEMPT]);
    assert_eq!(
        errors(&harness.diverged(oid(1), true)),
        [(Some(oid(1)), 1, Kind::NonFastForward)]
    );
    assert_eq!(harness.name(), StateName::Diverged);
}

#[test]
fn the_evidence_of_a_divergence_is_shown_while_it_lasts_and_follows_the_remote() {
    let evidence = |behind| {
        Arc::new(Evidence {
            merge_base: None,
            ahead: 1,
            behind,
            commits: Vec::new(),
            commands: Vec::new(),
        })
    };
    let behind = |harness: &Harness| harness.state.status().divergence.map(|evidence| evidence.behind);
    let mut harness = Harness::in_sync(policy());
    harness.commit(oid(2));
    assert_eq!(behind(&harness), None);
    let outcome = Outcome::Diverged(Divergence {
        tip: oid(2),
        failure: Failure::non_fast_forward("diverged", oid(9)).with_evidence(evidence(7)),
        comparable: true,
        preserved: None,
    });
    let actions = harness.ended(outcome, oid(9), survey(Some(oid(2)), 1));
    let [Event::Error { failure, .. }] = events(&actions)[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(failure.evidence(), Some(&evidence(7)));
    assert_eq!(behind(&harness), Some(7));

    let probe_ended = |reconciled, evidence| {
        Input::ProbeEnded(Probed {
            reconciled,
            preserved: None,
            evidence,
            remote: RemoteTip::At(oid(9)),
            survey: Some(survey(Some(oid(2)), 1)),
        })
    };
    for (reconciled, found, expected) in [
        (Some(false), Some(evidence(8)), Some(8)),
        (None, None, Some(8)),
        (Some(false), None, None),
        (Some(false), Some(evidence(9)), Some(9)),
    ] {
        harness.fire();
        harness.step(probe_ended(reconciled, found));
        assert_eq!(behind(&harness), expected);
    }
    harness.fire();
    harness.step(probe_ended(Some(true), None));
    harness.pushed(oid(2));
    assert_eq!(behind(&harness), None);
}
