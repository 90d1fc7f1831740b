//! Certificates, versions and ciphers of real servers. If git's TLS accepts one that rustls does not, git continues the
//! attempt; if git refuses it too, the failure names the fault.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use push_engine::failure::{Kind, TlsFault};
use push_engine::options::TransportChoice;
use push_engine::state::Outcome;

use crate::place::{Place, close, failure_of};
use crate::side_by_side::{forget, push_by_git};

/// Makes `server.key`, `server.pem` and `trusted.pem`.
const SHELL: &str = "
    set -e
    printf 'subjectAltName=DNS:localhost\\n' >san
    own() { openssl req -x509 -nodes -days 2 -keyout server.key -out server.pem -subj /CN=localhost \"$@\"; cp server.pem trusted.pem; }
    authority() { openssl req -x509 -nodes -days 2 -subj '/CN=authority' -addext keyUsage=keyCertSign,cRLSign \
        -keyout authority.key -out trusted.pem \"$@\"; }
    signed() { authority $rsa; request $rsa; sign -days 2 -extfile san; }
    request() { openssl req -new -nodes -subj /CN=localhost -keyout server.key -out server.csr \"$@\"; }
    sign() { openssl x509 -req -in server.csr -CA trusted.pem -CAkey authority.key -CAcreateserial -out server.pem \"$@\"; }
    rsa='-newkey rsa:2048'
    p521='-newkey ec -pkeyopt ec_paramgen_curve:P-521'
    for_localhost='-addext subjectAltName=DNS:localhost'
";

const GOOD: &str = "signed";
const CN_ONLY: &str =
    "authority $rsa; request $rsa; printf 'basicConstraints=CA:FALSE\\n' >ext; sign -days 2 -extfile ext";
const OLD: &str = "SSLCipherSuite DEFAULT@SECLEVEL=0\nSSLProtocol TLSv1.1\nH2ModernTLSOnly off";

/// How a certificate is made, further lines of the server's configuration, and the fault because of which git takes over.
const ONLY_FOR_GIT: [(&str, &str, TlsFault); 13] = [
    (
        "printf 'extendedKeyUsage=anyExtendedKeyUsage\\n' >>san; signed",
        "",
        TlsFault::WrongPurpose,
    ),
    ("own $p521 $for_localhost", "", TlsFault::NothingInCommon),
    (
        "authority $p521; request $rsa; sign -days 2 -extfile san",
        "",
        TlsFault::UnsupportedCertificate,
    ),
    ("own $rsa", "", TlsFault::NoAlternativeName),
    (CN_ONLY, "", TlsFault::NoAlternativeName),
    (
        "authority $rsa; request $rsa; sign -days 2",
        "",
        TlsFault::UnsupportedCertificate,
    ),
    (
        "own -newkey rsa:1024 $for_localhost",
        "SSLCipherSuite DEFAULT@SECLEVEL=0",
        TlsFault::BadSignature,
    ),
    (
        "own -newkey rsa-pss -pkeyopt rsa_keygen_bits:2048 $for_localhost",
        "",
        TlsFault::NothingInCommon,
    ),
    (
        "printf 'basicConstraints=CA:TRUE\\n' >>san; signed",
        "",
        TlsFault::UnknownAuthority,
    ),
    (
        GOOD,
        "H2ModernTLSOnly off\nSSLProtocol TLSv1.2\nSSLCipherSuite ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA",
        TlsFault::NothingInCommon,
    ),
    (
        GOOD,
        "H2ModernTLSOnly off\nSSLProtocol TLSv1.2\nSSLCipherSuite AES128-GCM-SHA256",
        TlsFault::NothingInCommon,
    ),
    (GOOD, "SSLOpenSSLConfCmd Groups P-521", TlsFault::NothingInCommon),
    (GOOD, OLD, TlsFault::NothingInCommon),
];

/// Certificates that git refuses too.
const REFUSED_BY_BOTH: [(&str, TlsFault, &str); 4] = [
    (
        "authority $rsa; request $rsa; sign -days -1 -extfile san",
        TlsFault::Expired,
        "has expired",
    ),
    (
        "printf 'subjectAltName=DNS:elsewhere.invalid\\n' >san; signed",
        TlsFault::WrongName,
        "different host name",
    ),
    (
        "signed; authority $rsa -subj /CN=stranger",
        TlsFault::UnknownAuthority,
        "authority",
    ),
    (
        "authority $rsa; request $rsa; mkdir -p issued; : >issued/index; echo 01 >issued/serial
         printf '[ca]\\ndefault_ca=c\\n[c]\\ndatabase=issued/index\\nserial=issued/serial\\nnew_certs_dir=issued\\ndefault_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' >ca.cnf
         openssl ca -batch -config ca.cnf -in server.csr -cert trusted.pem -keyfile authority.key -extfile san \
             -startdate 20900101000000Z -enddate 20910101000000Z -notext -out server.pem",
        TlsFault::NotYetValid,
        "not yet valid",
    ),
];

/// Gives the server a certificate, has it trusted, and leaves the choice of the transport open.
fn serve(place: &mut Place, certificate: &str, lines: &str) {
    let made = Command::new("sh")
        .args(["-c", &format!("{SHELL}\n{certificate}")])
        .current_dir(place.dir())
        .output()
        .expect("there is a shell");
    let stderr = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{certificate}: {stderr}");
    place.apache.restart_with(lines);
    place.var("GIT_SSL_CAINFO", place.dir().join("trusted.pem"));
    place.transport = TransportChoice::Auto;
}

/// Puts a git into the PATH that records its commands and runs the real one.
fn record_git(place: &mut Place) {
    let bin = place.dir().join("bin");
    fs::create_dir(&bin).expect("a directory");
    let path = std::env::var("PATH").expect("there is one");
    let real = std::env::split_paths(&path)
        .map(|directory| directory.join("git"))
        .find(|git| git.is_file())
        .expect("git is installed");
    let (log, real) = (place.dir().join("git-log"), real.display().to_string());
    let script = format!(
        "#!/bin/sh\necho \"$1\" >>'{}'\nexec '{real}' \"$@\"\n",
        log.display()
    );
    fs::write(bin.join("git"), script).expect("writable");
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).expect("own file");
    place.var("PATH", format!("{}:{path}", bin.display()));
}

/// The commands for the remote that were recorded since the last call.
fn taken_git_log(dir: &Path) -> Vec<String> {
    let log = dir.join("git-log");
    let verbs = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(log);
    let is_remote = |verb: &&str| matches!(*verb, "ls-remote" | "push");
    verbs.lines().filter(is_remote).map(str::to_owned).collect()
}

fn transport(place: &Place) -> (&'static str, String) {
    let chosen = place.note.get().expect("an attempt was made");
    (chosen.transport, chosen.reason.unwrap_or_default())
}

#[tokio::test]
async fn git_continues_the_attempt_if_only_its_tls_connects() {
    let Some(mut place) = Place::new() else { return };
    for (certificate, lines, fault) in ONLY_FOR_GIT {
        serve(&mut place, certificate, lines);
        let url = place.url();
        let (arrived, stderr) = push_by_git(&place, &url);
        assert!(arrived, "{certificate} {lines}: {stderr}");
        forget(&place, true);
        let outcome = place.push(&url).await;
        let has_arrived = matches!(outcome, Outcome::Pushed { .. });
        assert!(has_arrived, "{certificate} {lines}: {outcome:?}");
        forget(&place, true);
        let (name, reason) = transport(&place);
        assert_eq!(name, "git-cli", "{certificate} {lines}");
        assert!(
            reason.contains(&fault.problem()),
            "{certificate} {lines}: {reason}"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_git_refuses_too_is_named_after_at_most_one_run_of_git() {
    let Some(mut place) = Place::new() else { return };
    record_git(&mut place);
    for (certificate, fault, text) in REFUSED_BY_BOTH {
        serve(&mut place, certificate, "");
        let url = place.url();
        let (arrived, stderr) = push_by_git(&place, &url);
        assert!(!arrived, "{certificate}: {stderr}");
        taken_git_log(place.dir());
        for transport in [TransportChoice::Auto, TransportChoice::Native] {
            place.transport = transport;
            let failure = place.push_badly(&url).await;
            assert_eq!(failure.tls_fault(), Some(fault), "{failure}");
            assert_eq!(failure.kind(), Kind::Network, "{failure}");
            assert!(failure.message().contains(text), "{failure}");
            assert!(failure.hint().contains("certificate"), "{}", failure.hint());
        }
        assert!(taken_git_log(place.dir()).len() <= 1, "{certificate}");
        assert_eq!(transport(&place).0, "https");
    }
}

#[tokio::test]
async fn git_keeps_a_server_that_it_reached_until_the_configuration_changes() {
    let Some(mut place) = Place::new() else { return };
    record_git(&mut place);
    serve(&mut place, CN_ONLY, "");
    let pusher = place.pusher(&place.url());
    place.attempt_well(&pusher).await;
    assert_eq!(taken_git_log(place.dir()), ["ls-remote", "push"]);

    // The native TLS would connect by now.
    serve(&mut place, "request $rsa; sign -days 2 -extfile san", "");
    place.commit("two");
    place.attempt_well(&pusher).await;
    assert_eq!(transport(&place).0, "git-cli");
    assert_eq!(taken_git_log(place.dir()), ["ls-remote", "push"]);

    place.git(&place.local(), &["config", "http.lowSpeedTime", "100"]);
    place.commit("three");
    place.attempt_well(&pusher).await;
    assert_eq!(transport(&place), ("https", String::new()));
    assert_eq!(taken_git_log(place.dir()), [""; 0]);
    close(&pusher).await;
}

#[tokio::test]
async fn without_git_or_its_transport_the_failure_says_what_would_help() {
    let Some(mut place) = Place::new() else { return };
    serve(&mut place, CN_ONLY, "");
    let url = place.url();
    place.transport = TransportChoice::Native;
    let failure = place.push_badly(&url).await;
    assert_eq!(
        failure.tls_fault(),
        Some(TlsFault::NoAlternativeName),
        "{failure}"
    );
    assert!(
        failure.message().contains("transport to 'auto' or 'git-cli'"),
        "{failure}"
    );

    place.transport = TransportChoice::Auto;
    place.var("PATH", "/nonexistent");
    let failure = place.push_badly(&url).await;
    assert_eq!(
        failure.tls_fault(),
        Some(TlsFault::NoAlternativeName),
        "{failure}"
    );
    assert!(failure.message().contains("install git"), "{failure}");
}

#[tokio::test]
async fn a_client_key_that_only_git_reads_is_left_to_git_and_an_encrypted_one_is_named() {
    let Some(mut place) = Place::new() else { return };
    let sign =
        "openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out client.pem
        cp ca.pem trusted.pem";
    let make = "openssl req -new -nodes -subj /CN=client -keyout client.key -out client.csr";
    serve(&mut place, &format!("{make} $p521; {sign}"), "");
    place.show_certificate();
    let url = place.apache.url("certified");
    place.push_well(&url).await;
    assert!(
        transport(&place)
            .1
            .contains(&TlsFault::ClientKeyUnsupported.problem())
    );

    for form in ["-topk8 -v2 aes-256-cbc", "-topk8 -v1 PBE-SHA1-3DES"] {
        let encrypt = format!("openssl pkcs8 {form} -passout pass:hunter2 -in plain.key -out client.key");
        serve(
            &mut place,
            &format!("{make} $rsa; cp client.key plain.key; {sign}; {encrypt}"),
            "",
        );
        let failure = place.push_badly(&url).await;
        assert_eq!(
            failure.tls_fault(),
            Some(TlsFault::ClientKeyEncrypted),
            "{failure}"
        );
        assert_eq!(failure.kind(), Kind::Local, "{failure}");
        assert!(
            failure.message().contains("encrypted") && failure.hint().contains("passphrase"),
            "{failure}"
        );
    }
    serve(
        &mut place,
        &format!(
            "{make} $rsa; {sign}; openssl rsa -aes256 -traditional -passout pass:hunter2 -in client.key -out old.key; mv old.key client.key"
        ),
        "",
    );
    let failure = place.push_badly(&url).await;
    assert_eq!(
        failure.tls_fault(),
        Some(TlsFault::ClientKeyEncrypted),
        "{failure}"
    );
}

#[tokio::test]
async fn a_server_that_refuses_the_client_certificate_is_an_auth_failure() {
    let Some(mut place) = Place::new() else { return };
    serve(&mut place, GOOD, "SSLVerifyClient require");
    place.transport = TransportChoice::Native;
    let failure = failure_of(place.push(&place.url()).await);
    assert_eq!(failure.tls_fault(), Some(TlsFault::ClientRefused), "{failure}");
    assert_eq!(failure.kind(), Kind::Auth, "{failure}");
    assert!(failure.hint().contains("http.sslCert"), "{failure}");
}
