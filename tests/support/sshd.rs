//! A real OpenSSH server on a loopback port, with keys made for the run.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use super::{Sandbox, report};

/// The directory of sshd's lock files. As root, sshd does not start without it.
const RUN_DIRECTORY: &str = "/run/sshd";

/// How many ports are tried: another process may take a port that was free.
const PORTS: usize = 5;

/// A server that ends with this value.
pub(crate) struct Sshd {
    child: Child,
    pub(crate) port: u16,
    pub(crate) user: String,
    directory: PathBuf,
}

impl Sshd {
    /// Starts a server that accepts the key `key` of the sandbox. If sshd is not installed, the test is skipped with a message;
    /// in CI, it fails.
    pub(crate) fn start(sandbox: &Sandbox, settings: &str) -> Option<Self> {
        let Some(program) = program() else {
            let reason = "there is no sshd: install Debian's openssh-server";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
            report(&format!("skipped: {reason}"));
            return None;
        };
        let directory = sandbox.path("sshd");
        fs::create_dir(&directory).expect("new");
        make_key(&directory.join("host_key"));
        make_key(&sandbox.path("key"));
        fs::copy(sandbox.path("key.pub"), directory.join("authorized_keys")).expect("just made");
        let user = stdout_of(Command::new("id").arg("-un"));
        for _ in 0..PORTS {
            let port = free_port();
            let config = directory.join("sshd_config");
            let shown = directory.display();
            let content = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host_key\nAuthorizedKeysFile {shown}/authorized_keys\n\
                 PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 PermitRootLogin prohibit-password\nMaxStartups 100\n{settings}\n"
            );
            fs::write(&config, content).expect("writable");
            if let Some(child) = listen(&program, &config) {
                let server = Self {
                    child,
                    port,
                    user,
                    directory,
                };
                server.trust(&sandbox.path("known_hosts"));
                return Some(server);
            }
        }
        panic!("sshd did not start on any of {PORTS} free ports");
    }

    /// Writes the server's host key as one that is known.
    pub(crate) fn trust(&self, known_hosts: &Path) {
        self.write_known_host(known_hosts, &self.directory.join("host_key.pub"));
    }

    /// Writes another key as the one that is known.
    pub(crate) fn trust_another_key(&self, known_hosts: &Path) {
        let another = self.directory.join("another_key");
        make_key(&another);
        self.write_known_host(known_hosts, &another.with_extension("pub"));
    }

    fn write_known_host(&self, known_hosts: &Path, public_key: &Path) {
        let key = fs::read_to_string(public_key).expect("it was made");
        fs::write(known_hosts, format!("[127.0.0.1]:{} {key}", self.port)).expect("writable");
    }

    pub(crate) fn url(&self, path: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, path.display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the server and waits until it listens. `None` if its port was taken.
fn listen(program: &Path, config: &Path) -> Option<Child> {
    let mut child = Command::new(program)
        .args(["-D", "-e", "-f"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sshd starts");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut output = String::new();
    for line in log.by_ref().map_while(Result::ok) {
        if line.contains("Server listening on ") {
            // An unread log would block the server in the end.
            thread::spawn(move || log.map_while(Result::ok).for_each(drop));
            return Some(child);
        }
        output = output + &line + "\n";
    }
    let _ = child.wait();
    assert!(output.contains("Address already in use"), "sshd ended: {output}");
    None
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
    listener.local_addr().expect("bound").port()
}

/// sshd, which is installed where that is allowed.
fn program() -> Option<PathBuf> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        ["/usr/sbin/sshd", "/usr/local/sbin/sshd"]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
    };
    let install = || {
        let is_root = stdout_of(Command::new("id").arg("-u")) == "0";
        let _ = is_root.then(|| {
            Command::new("sh")
                .args(["-c", "apt-get update && apt-get install --yes openssh-server"])
                .env("DEBIAN_FRONTEND", "noninteractive")
                // Keeps Debian from starting its own server, which would listen to the world.
                .env("RUNLEVEL", "1")
                .stdin(Stdio::null())
                .output()
        });
    };
    let made = PROGRAM.get_or_init(|| {
        let found = find().or_else(|| {
            install();
            find()
        });
        // Only root needs it, and only root can create it.
        let _ = fs::create_dir_all(RUN_DIRECTORY);
        found
    });
    made.clone()
}

pub(crate) fn make_key(path: &Path) {
    for old in [path.to_owned(), path.with_extension("pub")] {
        let _ = fs::remove_file(old);
    }
    stdout_of(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
            .arg(path),
    );
}

fn stdout_of(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
