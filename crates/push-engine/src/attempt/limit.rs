//! How large a pack may be: as the option says, and as the link and the server have shown since.

/// What the link is expected to carry in any case.
const LEAST: u64 = 64 * 1024;

/// After so many pushes in a row have arrived, larger packs are tried again.
const SUCCESSES: u32 = 16;

/// Bytes that may be waiting to be sent when a connection breaks.
const QUEUED: u64 = 512 * 1024;

/// The limit for the next pack.
#[derive(Debug)]
pub(super) struct PackLimit {
    /// What the option allows.
    option: u64,
    /// What the option and the server allow.
    most: u64,
    link: Option<Link>,
}

/// What is known of a link that breaks.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// The largest pack that it is expected to carry.
    carries: u64,
    /// The limit of the estimated size of such a pack, which is larger than the pack turns out.
    objects: u64,
    /// The pushes in a row that have arrived.
    successes: u32,
}

impl PackLimit {
    /// Begins with the limit of the option.
    pub(super) const fn new(most: u64) -> Self {
        Self {
            option: most,
            most,
            link: None,
        }
    }

    /// The estimated size limit of the next pack.
    pub(super) fn most(&self) -> u64 {
        self.link.map_or(self.most, |link| link.objects.min(self.most))
    }

    /// Whether the link or the server has shown that packs must be smaller than the option allows.
    pub(super) const fn is_lowered(&self) -> bool {
        self.link.is_some() || self.most < self.option
    }

    /// Whether the link has broken lately.
    pub(super) const fn is_lowered_by_link(&self) -> bool {
        self.link.is_some()
    }

    /// The connection broke after so many bytes of a pack were handed over. A few tell nothing of the link: a connection that
    /// was kept may have been dead already.
    pub(super) fn broke(&mut self, bytes: u64) {
        if bytes < LEAST {
            return;
        }
        let reached = bytes.saturating_sub(QUEUED).max(bytes / 2);
        let before = self.link.map_or(u64::MAX, |link| link.carries);
        let carries = (reached.min(before) / 2).max(LEAST);
        self.link = Some(Link {
            carries,
            objects: self.link.map_or(carries, |link| link.objects.min(carries)),
            successes: 0,
        });
    }

    /// The server refused a pack of objects of this size, of which so many bytes were handed over, as too large.
    pub(super) fn refused(&mut self, objects: u64, bytes: u64) {
        let half = objects.min(self.most) / 2;
        self.most = if bytes < LEAST { half } else { half.min(bytes) }.max(1);
    }

    /// A pack has arrived, and there is more to send.
    pub(super) fn arrived(&mut self, bytes: u64) {
        let Some(link) = &mut self.link else { return };
        link.successes += 1;
        if link.successes == SUCCESSES {
            link.successes = 0;
            link.carries = link.carries.saturating_mul(2);
        }
        if bytes < link.carries / 2 {
            link.objects = link.objects.saturating_mul(2);
        }
    }

    /// Everything has arrived.
    pub(super) const fn reset_link(&mut self) {
        self.link = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    #[test]
    fn a_link_that_breaks_lowers_the_limit_until_packs_arrive() {
        let mut limit = PackLimit::new(1000 * MB);
        assert_eq!(limit.most(), 1000 * MB);
        assert!(!limit.is_lowered_by_link());
        let life = 3 * MB;
        let mut breaks = 0;
        while limit.most() > life {
            // Buffers take some megabytes more than arrive.
            limit.broke((life + 4 * MB).min(limit.most()));
            breaks += 1;
        }
        assert!(breaks <= 3, "{breaks}");
        assert!(limit.is_lowered_by_link());
        limit.reset_link();
        assert_eq!(limit.most(), 1000 * MB);
    }

    #[test]
    fn packs_that_are_far_smaller_than_their_objects_grow_to_what_the_link_carries() {
        let mut limit = PackLimit::new(1000 * MB);
        limit.broke(2 * MB + QUEUED);
        assert_eq!(limit.most(), MB);
        // A tenth of their objects.
        for _ in 0..10 {
            limit.arrived(limit.most() / 10);
        }
        assert_eq!(limit.most(), 8 * MB);
        for _ in 10..SUCCESSES {
            limit.arrived(limit.most() / 10);
        }
        assert!(limit.most() > 8 * MB, "the link may have become better");
        limit.broke(1);
        assert!(limit.most() > 8 * MB);
        limit.broke(LEAST);
        assert_eq!(limit.most(), LEAST);
    }

    #[test]
    fn what_a_server_refuses_is_not_tried_again() {
        let mut limit = PackLimit::new(1000 * MB);
        limit.refused(600 * MB, 0);
        assert_eq!(limit.most(), 300 * MB);
        limit.refused(250 * MB, 100 * MB);
        assert_eq!(limit.most(), 100 * MB);
        limit.arrived(1);
        limit.reset_link();
        assert_eq!(limit.most(), 100 * MB);
        limit.refused(0, 0);
        assert_eq!(limit.most(), 1);
    }
}
