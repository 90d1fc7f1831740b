//! Which connections are kept for the next push.

use std::future::ready;
use std::sync::Arc;

use super::RemotePusher;
use super::progress::Next;
use super::route::Route;
use crate::transport::Session;

impl RemotePusher {
    /// Keeps a connection for the next push. Connecting takes time on this thread, so it begins when the attempt has
    /// ended and its outcome was told.
    pub(super) fn keep_next(&self, next: Next) {
        let Next { route, tip, session } = next;
        if let Some(session) = session {
            self.kept.keep(route, tip, ready(Ok(session)));
        } else {
            let (connecting, limit) = (Arc::clone(&route), self.destination.timeouts.connect);
            self.kept
                .keep(route, tip, async move { connecting.connect(limit).await });
        }
    }

    /// Keeps a session that sent nothing, unless its advertisement may be wrong by the next push.
    pub(super) fn keep_ready(&self, route: &Arc<Route>, session: Box<dyn Session>) {
        let remote = session.advertisement().tip(&self.branch.target().refname);
        match remote {
            Some(remote) if self.is_kept(route) && session.compares_old_values() => {
                self.kept.keep(Arc::clone(route), remote, ready(Ok(session)));
            }
            _ => session.finish(),
        }
    }

    pub(super) fn is_kept(&self, route: &Route) -> bool {
        route.transport.may_be_kept() && self.kept.is_enabled()
    }
}
