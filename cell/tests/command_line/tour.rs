//! The example of the client, `api/examples/tour.rs`, against the built binary.

use crate::dev;

#[allow(dead_code, reason = "the example's own main is not called here")]
#[path = "../../../api/examples/tour.rs"]
mod example;

#[tokio::test]
async fn the_tour_of_the_client_works_as_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let dev = dev::start(dir.path());
    example::tour(&dev.url, "demo", &dev.demo).await.unwrap();
}
