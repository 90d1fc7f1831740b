//! The memory that large pushes take over HTTPS.

use crate::peak::{LIMIT, Load, of_push, push_if_child};
use crate::place::Place;
use crate::report;

#[tokio::test]
async fn large_pushes_take_little_memory() {
    if push_if_child().await {
        return;
    }
    let Some(place) = Place::new() else { return };
    let url = place.url();
    for load in Load::ALL {
        load.commit(&place.local(), &place.env);
        let peak = of_push(&place.local(), &place.env, &url, &place.dir().join("peak"));
        report(&format!("{} over HTTPS: {peak}", load.name()));
        assert!(peak.growth() < LIMIT, "{load:?}: {peak}");
        let tip = place.git(&place.local(), &["rev-parse", "main"]);
        assert_eq!(place.git(&place.remote(), &["rev-parse", "main"]), tip);
        place.git(&place.remote(), &["fsck", "--strict"]);
    }
}
