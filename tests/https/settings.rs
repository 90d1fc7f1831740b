//! The settings of trust and proxies.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use push_engine::daemon::Pusher;
use push_engine::failure::Kind;
use push_engine::state::Terms;

use crate::place::{Place, close, failure_of};
use crate::server::Tinyproxy;

#[tokio::test]
async fn the_authority_may_be_named_in_each_of_the_places() {
    let Some(mut place) = Place::new() else { return };
    let url = place.url();
    let authority = place.dir().join("ca.pem");
    place.push_well(&url).await;

    place.without("GIT_SSL_CAINFO");
    place.var("SSL_CERT_FILE", authority.clone());
    place.commit("SSL_CERT_FILE");
    place.push_well(&url).await;

    place.without("SSL_CERT_FILE");
    let directory = place.dir().join("authorities");
    fs::create_dir(&directory).expect("a directory");
    fs::copy(&authority, directory.join("ca.pem")).expect("copied");
    place.var("SSL_CERT_DIR", directory);
    place.commit("SSL_CERT_DIR");
    place.push_well(&url).await;

    place.without("SSL_CERT_DIR");
    let key = format!("http.https://localhost:{}/.sslCAInfo", place.apache.port);
    place.set(&key, authority.to_str().expect("text"));
    place.commit("http.sslCAInfo");
    place.push_well(&url).await;
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused_with_the_cause() {
    let Some(mut place) = Place::new() else { return };
    let url = place.url();
    place.var("GIT_SSL_CAINFO", place.dir().join("stranger.pem"));
    let failure = place.push_badly(&url).await;
    assert_eq!(failure.kind(), Kind::Network, "{failure}");
    assert!(
        failure.message().contains("UnknownIssuer") && failure.message().contains("http.sslCAInfo"),
        "{failure}"
    );

    place.set("http.sslVerify", "false");
    place.push_well(&url).await;
}

#[tokio::test]
async fn a_certificate_that_signed_itself_is_trusted_for_its_own_name_alone() {
    let Some(mut place) = Place::new() else { return };
    for suffix in ["pem", "key"] {
        let (stranger, server) = (format!("stranger.{suffix}"), format!("server.{suffix}"));
        fs::copy(place.dir().join(stranger), place.dir().join(server)).expect("copied");
    }
    place.apache.restart();
    place.var("GIT_SSL_CAINFO", place.dir().join("stranger.pem"));
    let url = place.url();
    let failure = place.push_badly(&url.replace("localhost", "127.0.0.1")).await;
    assert_eq!(failure.kind(), Kind::Network, "{failure}");
    assert!(failure.message().contains("not valid for name"), "{failure}");
    place.push_well(&url).await;
}

#[tokio::test]
async fn a_configured_client_certificate_is_shown() {
    let Some(mut place) = Place::new() else { return };
    let url = place.apache.url("certified");
    let failure = place.push_badly(&url).await;
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");
    place.show_certificate();
    place.push_well(&url).await;
}

#[tokio::test]
async fn an_authority_that_is_replaced_is_read_anew() {
    let Some(mut place) = Place::new() else { return };
    let trusted = place.dir().join("trusted.pem");
    fs::copy(place.dir().join("stranger.pem"), &trusted).expect("copied");
    place.var("GIT_SSL_CAINFO", trusted.clone());
    let pusher = place.pusher(&place.url());
    failure_of(pusher.attempt(Terms::default()).await.outcome);
    fs::copy(place.dir().join("ca.pem"), &trusted).expect("copied");
    place.attempt_well(&pusher).await;
    close(&pusher).await;
}

#[tokio::test]
async fn trusted_certificates_that_are_missing_are_named() {
    let Some(mut place) = Place::new() else { return };
    place.var("GIT_SSL_CAINFO", "/nonexistent/ca.pem");
    let failure = place.push_badly(&place.url()).await;
    assert_eq!(failure.kind(), Kind::Local, "{failure}");
    assert!(failure.message().contains("/nonexistent/ca.pem"), "{failure}");
}

#[tokio::test]
async fn a_missing_client_certificate_is_named_with_a_hint() {
    let Some(mut place) = Place::new() else { return };
    place.set("http.sslCert", "/nonexistent/client.pem");
    let failure = place.push_badly(&place.url()).await;
    assert_eq!(failure.kind(), Kind::Local, "{failure}");
    assert!(failure.message().contains("/nonexistent/client.pem"), "{failure}");
    assert!(failure.hint().contains("http.sslCert"), "{failure}");
}

#[tokio::test]
async fn a_setting_that_is_not_implemented_is_an_error_rather_than_ignored() {
    let Some(mut place) = Place::new() else { return };
    place.set("http.pinnedPubkey", "sha256//x");
    let failure = place.push_badly(&place.url()).await;
    assert_eq!(failure.kind(), Kind::Local, "{failure}");
    assert!(failure.message().contains("http.pinnedPubkey"), "{failure}");
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used_except_for_listed_hosts() {
    let Some(mut place) = Place::new() else { return };
    let url = place.url();
    let proxy = Tinyproxy::start(place.dir(), place.apache.port, None);
    place.var("https_proxy", proxy.url(""));
    place.push_well(&url).await;
    assert_eq!(proxy.tunnels(), 1);

    place.var("NO_PROXY", "example.com,localhost");
    place.commit("two");
    place.push_well(&url).await;
    assert_eq!(proxy.tunnels(), 1);
}

#[tokio::test]
async fn a_configured_proxy_gets_the_password_of_its_url_and_its_refusal_is_reported() {
    let Some(mut place) = Place::new() else { return };
    let url = place.url();
    let proxy = Tinyproxy::start(place.dir(), place.apache.port, Some(("p", "s3cret-of-proxy")));
    place.set("http.proxy", proxy.url("p:wr0ng"));
    let failure = place.push_badly(&url).await;
    // Which kind it is depends on the proxy: this one answers with 401 where 407 is meant.
    assert!(
        failure.message().contains("through the proxy 127.0.0.1") && !failure.message().contains("wr0ng"),
        "{failure}"
    );

    place.set("http.proxy", proxy.url("p:s3cret-of-proxy"));
    place.push_well(&url).await;
}

#[tokio::test]
async fn a_proxy_gets_the_same_agent_as_from_git() {
    let Some(mut place) = Place::new() else { return };
    place.var("GIT_USER_AGENT", "custom/1");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = format!("http://{}", listener.local_addr().expect("bound"));
    let answering = std::thread::spawn(move || {
        [(); 2].map(|()| {
            let (mut client, _) = listener.accept().expect("a client");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).expect("a request");
                request.extend(byte);
            }
            client
                .write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                .expect("writable");
            let request = String::from_utf8(request).expect("text").to_ascii_lowercase();
            let agent = request.lines().find(|line| line.starts_with("user-agent:"));
            agent.map(str::to_owned)
        })
    });
    let url = place.url();
    place.set("http.proxy", proxy.clone());
    place.push_badly(&url).await;
    let config = format!("http.proxy={proxy}");
    let git_push = Command::new("git")
        .args(["-c", &config, "push", "--quiet", &url, "main"])
        .current_dir(place.local())
        .env_clear()
        .envs(place.env.iter())
        .output()
        .expect("git is installed");
    assert!(!git_push.status.success());
    let [by_daemon, by_git] = answering.join().expect("no panic");
    assert_eq!(by_daemon.as_deref(), Some("user-agent: custom/1"));
    assert_eq!(by_git, by_daemon);
}

#[tokio::test]
async fn a_refused_connection_is_a_network_failure() {
    let Some(place) = Place::new() else { return };
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let failure = place.push_badly(&format!("https://localhost:{port}/r.git")).await;
    assert_eq!(failure.kind(), Kind::Network, "{failure}");
    assert!(failure.message().contains("refused"), "{failure}");
}
