//! The evidence for a divergence, as it crosses to JavaScript.

use napi_derive::napi;

use push_engine::event::Evidence;

use super::shapes::{epoch_ms, hex, number};

/// What only one side of a diverged branch has.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct NativeDivergence {
    pub merge_base: Option<String>,
    pub ahead: f64,
    pub behind: f64,
    /// Four texts for each commit: id, author, milliseconds since the epoch, subject. Objects would take 4 KB of the addon.
    pub commits: Vec<String>,
    pub commands: Vec<String>,
}

impl From<&Evidence> for NativeDivergence {
    fn from(evidence: &Evidence) -> Self {
        let mut commits = Vec::new();
        for commit in &evidence.commits {
            commits.push(commit.commit.to_string());
            commits.push(commit.author.clone());
            commits.push(epoch_ms(commit.committed_at).to_string());
            commits.push(commit.subject.clone());
        }
        Self {
            merge_base: hex(evidence.merge_base),
            ahead: number(evidence.ahead),
            behind: number(evidence.behind),
            commits,
            commands: evidence.commands.clone(),
        }
    }
}
