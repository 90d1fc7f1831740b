//! The memory that large pushes take over ssh.

use crate::peak::{LIMIT, Load, of_push, push_if_child};
use crate::push::{remote_tip, server};
use crate::support::report;

#[tokio::test]
async fn large_pushes_take_little_memory() {
    if push_if_child().await {
        return;
    }
    let Some((sandbox, _sshd, url)) = server() else {
        return;
    };
    for load in Load::ALL {
        load.commit(&sandbox.work(), &sandbox.env);
        let peak = of_push(&sandbox.work(), &sandbox.env, &url, &sandbox.path("peak"));
        report(&format!("{} over ssh: {peak}", load.name()));
        assert!(peak.growth() < LIMIT, "{load:?}: {peak}");
        let tip = sandbox.git(&sandbox.work(), &["rev-parse", "main"]);
        assert_eq!(remote_tip(&sandbox), tip);
    }
}
