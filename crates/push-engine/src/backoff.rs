//! The delays between attempts: exponential growth up to a cap, shortened by seedable jitter.
//!
//! It does not sleep and does not count attempts; it only yields the next delay.

use std::time::Duration;

/// How delays grow. Validated by [`crate::options`] before it gets here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffConfig {
    /// The first delay.
    pub base: Duration,
    /// What each delay is multiplied by to get the next; at least 1.
    pub multiplier: f64,
    /// The longest delay.
    pub cap: Duration,
    /// 0 to 1: the share of a delay by which it may be shortened.
    pub jitter: f64,
}

impl BackoffConfig {
    /// `backoff: 'exponential'`: 1 s, doubled up to 1 h (gitsheets' defaults), shortened by up to a fifth so that many
    /// services do not return to a recovered server at the same instant.
    pub const EXPONENTIAL: Self = Self {
        base: Duration::from_secs(1),
        multiplier: 2.0,
        cap: Duration::from_secs(3600),
        jitter: 0.2,
    };
}

/// An endless iterator of delays.
#[derive(Debug, Clone)]
pub struct Backoff {
    config: BackoffConfig,
    random: fastrand::Rng,
    /// The next delay before jitter; `None` at the start of a run.
    next: Option<Duration>,
}

impl Backoff {
    /// Starts at the base delay. The same seed gives the same jitter.
    #[must_use]
    pub fn new(config: BackoffConfig, seed: u64) -> Self {
        Self {
            config,
            random: fastrand::Rng::with_seed(seed),
            next: None,
        }
    }

    /// Starts over at the base delay: the run of failures has ended.
    pub fn reset(&mut self) {
        self.next = None;
    }

    /// The next delay, growing by the multiplier from call to call.
    pub fn next_delay(&mut self) -> Duration {
        let full = self.next.unwrap_or(self.config.base).min(self.config.cap);
        self.next = Some(grow(full, self.config));
        shorten(full, self.config.jitter, self.random.f64())
    }
}

/// Multiplies without overflow: a delay never exceeds the cap.
fn grow(delay: Duration, config: BackoffConfig) -> Duration {
    let seconds = delay.as_secs_f64() * config.multiplier;
    Duration::try_from_secs_f64(seconds).map_or(config.cap, |grown| grown.min(config.cap))
}

/// Takes `jitter * random` of the delay away; `random` is in `[0, 1)`.
pub(crate) fn shorten(delay: Duration, jitter: f64, random: f64) -> Duration {
    delay.saturating_sub(delay.mul_f64(jitter * random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn delays_double_up_to_the_cap() {
        let config = BackoffConfig {
            base: MS(1000),
            multiplier: 2.0,
            cap: MS(5000),
            jitter: 0.0,
        };
        let mut backoff = Backoff::new(config, 0);
        let delays: Vec<_> = (0..5).map(|_| backoff.next_delay()).collect();
        assert_eq!(delays, [MS(1000), MS(2000), MS(4000), MS(5000), MS(5000)]);
    }

    #[test]
    fn reset_starts_over_at_the_base() {
        let mut backoff = Backoff::new(
            BackoffConfig {
                jitter: 0.0,
                ..BackoffConfig::EXPONENTIAL
            },
            0,
        );
        backoff.next_delay();
        backoff.next_delay();
        backoff.reset();
        assert_eq!(backoff.next_delay(), MS(1000));
    }

    #[test]
    fn the_same_seed_gives_the_same_delays_and_another_seed_others() {
        let delays = |seed| -> Vec<_> {
            let mut backoff = Backoff::new(BackoffConfig::EXPONENTIAL, seed);
            (0..8).map(|_| backoff.next_delay()).collect()
        };
        assert_eq!(delays(7), delays(7));
        assert_ne!(delays(7), delays(8));
    }

    proptest! {
        #[test]
        fn a_delay_lies_between_its_shortened_and_its_full_length(
            base in 0u64..10_000_000, multiplier in 1.0f64..1e6, cap in 0u64..1u64 << 40, jitter in 0.0f64..=1.0, seed: u64,
        ) {
            let config = BackoffConfig { base: MS(base), multiplier, cap: MS(cap), jitter };
            let mut plain = Backoff::new(BackoffConfig { jitter: 0.0, ..config }, 0);
            let mut jittered = Backoff::new(config, seed);
            let mut previous = Duration::ZERO;
            for _ in 0..64 {
                let full = plain.next_delay();
                let delay = jittered.next_delay();
                prop_assert!(full >= previous && full <= config.cap);
                prop_assert!(delay <= full && delay >= full.mul_f64(1.0 - jitter).saturating_sub(MS(1)));
                previous = full;
            }
        }
    }
}
