//! Where `onDivergence: 'preserve'` puts a diverged tip on the remote.

use std::time::SystemTime;

use crate::oid::Oid;

/// Where diverged tips are kept on the remote.
pub(super) const CONFLICTS: &str = "refs/heads/conflicts/";

/// The branch that keeps a diverged tip: `refs/heads/conflicts/20261123T143000Z` (UTC), with a number behind
/// it where the remote has one of that second.
pub(super) fn conflict_ref(now: SystemTime, taken: &[(Oid, String)]) -> String {
    let stamp = humantime::format_rfc3339_seconds(now).to_string();
    let stamp: String = stamp
        .chars()
        .filter(|character| !"-:".contains(*character))
        .collect();
    let mut refname = format!("{CONFLICTS}{stamp}");
    let mut number = 1;
    while taken.iter().any(|(_, name)| *name == refname) {
        number += 1;
        refname = format!("{CONFLICTS}{stamp}-{number}");
    }
    refname
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_conflict_branch_is_named_by_the_utc_time() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_444_200);
        assert_eq!(conflict_ref(time, &[]), "refs/heads/conflicts/20261123T143000Z");
    }

    #[test]
    fn conflict_branches_of_the_same_second_are_numbered() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_444_200);
        let mut taken = Vec::new();
        for expected in ["20261123T143000Z", "20261123T143000Z-2", "20261123T143000Z-3"] {
            let refname = conflict_ref(time, &taken);
            assert_eq!(refname, format!("refs/heads/conflicts/{expected}"));
            taken.push((Oid::from_bytes([1; 20]), refname));
        }
    }
}
