//! Apache in front of `git http-backend`, over TLS with a certificate made for the run, and a forward proxy.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a server may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);
const MODULES: &str = "/usr/lib/apache2/modules";

/// The login for Basic.
pub(crate) const USER: &str = "pusher";
pub(crate) const PASSWORD: &str = "c0rrect-h0rse";
pub(crate) const BEARER: &str = "b34rer-t0ken";

/// Whether the servers are installed. Installs them if it runs as root. Otherwise the tests are skipped with a message, and
/// fail in CI.
pub(crate) fn can_run() -> bool {
    static CAN_RUN: OnceLock<bool> = OnceLock::new();
    *CAN_RUN.get_or_init(|| {
        if is_installed() || (is_root() && install() && is_installed()) {
            return true;
        }
        let missing = "apache2, tinyproxy or openssl is missing: apt install apache2 tinyproxy openssl";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
        super::report(&format!("SKIPPED all tests over HTTPS: {missing}"));
        false
    })
}

fn is_installed() -> bool {
    let programs = ["apache2", "tinyproxy", "openssl"];
    let is_program = |name: &str| succeeds(Command::new("sh").args(["-c", &format!("command -v {name}")]));
    programs.into_iter().all(is_program)
        && Path::new(MODULES).exists()
        && git_core().join("git-http-backend").exists()
}

/// Where the git that the tests run has its programs: another version may not know the formats of its repositories.
fn git_core() -> PathBuf {
    let output = Command::new("git").arg("--exec-path").output().expect("git runs");
    String::from_utf8_lossy(&output.stdout).trim().into()
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout == b"0\n")
}

fn install() -> bool {
    let script = "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends apache2 tinyproxy openssl";
    succeeds(Command::new("sh").args(["-c", script]).stdin(Stdio::null()))
}

/// A process that ends with its owner. It has no children that outlive it.
struct Process(Child);

impl Drop for Process {
    /// Ends the whole group: `git http-backend` never stops reading a body that was cut short.
    fn drop(&mut self) {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process_group(id.expect("a process id"), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Starts a server on a free port, and tries another one if the port is taken meanwhile.
fn listen(start: impl Fn(u16) -> Command) -> (Process, u16) {
    for _ in 0..5 {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        if let Some(process) = run(&mut start(port), port) {
            return (process, port);
        }
    }
    panic!("the server did not start");
}

/// Starts a server and waits until it listens on its port.
fn run(command: &mut Command, port: u16) -> Option<Process> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    let mut process = Process(command.spawn().expect("it is installed"));
    let deadline = Instant::now() + START_LIMIT;
    while Instant::now() < deadline && process.0.try_wait().expect("a child").is_none() {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(process);
        }
        std::thread::yield_now();
    }
    None
}

/// In a single process, so that killing it leaves nothing behind.
fn apache(dir: &Path) -> Command {
    let mut command = Command::new("apache2");
    command.arg("-X").arg("-f").arg(dir.join("apache.conf"));
    command.current_dir(dir);
    command
}

/// The web server.
pub(crate) struct Apache {
    process: Option<Process>,
    pub(crate) port: u16,
    dir: PathBuf,
}

impl Apache {
    /// Serves the repositories in `dir/repositories`.
    pub(crate) fn start(dir: &Path) -> Self {
        make_certificates(dir);
        set_password(dir, PASSWORD);
        fs::create_dir_all(dir.join("repositories")).expect("a directory");
        // Logs and sockets are opened as root, and the rest is done as Debian's user for it.
        let (process, port) = listen(|port| {
            fs::write(dir.join("apache.conf"), configuration(dir, port)).expect("writable");
            apache(dir)
        });
        Self {
            process: Some(process),
            port,
            dir: dir.to_owned(),
        }
    }

    /// Cuts all connections, and starts again at the same port.
    pub(crate) fn restart(&mut self) {
        self.process = None;
        let process = run(&mut apache(&self.dir), self.port);
        self.process = Some(process.expect("Apache starts again"));
    }

    /// Starts again with these lines behind its own configuration.
    pub(crate) fn restart_with(&mut self, lines: &str) {
        let file = self.dir.join("apache.conf");
        let own = configuration(&self.dir, self.port);
        fs::write(file, format!("{own}{lines}\n")).expect("writable");
        self.restart();
    }

    /// The URL of the repository below one of the configured places.
    pub(crate) fn url(&self, place: &str) -> String {
        format!("https://localhost:{}/{place}/r.git", self.port)
    }

    /// The same with a user and perhaps a password.
    pub(crate) fn url_as(&self, login: &str, place: &str) -> String {
        format!("https://{login}@localhost:{}/{place}/r.git", self.port)
    }

    /// The same with the user and password that the server accepts.
    pub(crate) fn url_with_login(&self, place: &str) -> String {
        self.url_as(&format!("{USER}:{PASSWORD}"), place)
    }

    /// One line for each request of a push, once there are `count`: Apache writes them after its answers. Those of a fetch, by
    /// which a divergence is looked at, are left out.
    pub(crate) async fn requests(&self, count: usize) -> Vec<String> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let log = fs::read_to_string(self.dir.join("access.log")).unwrap_or_default();
            let pushes = log.lines().filter(|line| !line.contains("git-upload-pack"));
            if pushes.clone().count() >= count || Instant::now() > deadline {
                return pushes.map(str::to_owned).collect();
            }
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn set_password(dir: &Path, password: &str) {
    set_login(dir, USER.as_bytes(), password.as_bytes());
}

/// Lets this user in and no other; the bytes need not be UTF-8.
pub(crate) fn set_login(dir: &Path, user: &[u8], password: &[u8]) {
    let hash = Command::new("openssl")
        .args(["passwd", "-apr1", "-stdin"])
        .stdin(input(dir, "password", password))
        .output()
        .expect("openssl is installed");
    fs::write(dir.join("users"), [user, b":", &hash.stdout].concat()).expect("writable");
}

/// A file as standard input, so that no secret is in an argument.
fn input(dir: &Path, name: &str, text: &[u8]) -> Stdio {
    let path = dir.join(name);
    fs::write(&path, text).expect("writable");
    fs::File::open(path).expect("readable").into()
}

/// Makes an authority (`ca.pem`), certificates for localhost and for a client that it signed, and one for localhost that
/// signed itself (`stranger.pem`) and claims to be an authority's, as from `openssl req -x509`.
fn make_certificates(dir: &Path) {
    let script = "
        set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=test authority' \
            -addext keyUsage=keyCertSign,cRLSign -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' >server.ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=client -keyout client.key -out client.csr
        openssl x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out client.pem
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=stranger' \
            -addext subjectAltName=DNS:localhost -keyout stranger.key -out stranger.pem";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .expect("there is a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// The modules of Apache.
const LOADED: [&str; 16] = [
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "alias",
    "env",
    "setenvif",
    "cgi",
    "ssl",
    "rewrite",
    "headers",
    "filter",
    "deflate",
    "http2",
];

/// A front end that lets only git in, and servers that give their answers other types.
const FRONTS: &str = r#"<Location "/filtered">
    RewriteEngine on
    RewriteCond "%{HTTP_USER_AGENT}" "!^git/"
    RewriteRule .* - [R=404]
</Location>
<LocationMatch "^/loud/.*/info/refs$">
    Header always set Content-Type "Application/X-Git-Receive-Pack-ADVERTISEMENT ; charset=utf-8"
</LocationMatch>
<LocationMatch "^/loud/.*/git-receive-pack$">
    Header always set Content-Type "APPLICATION/x-git-receive-pack-result; charset=utf-8"
</LocationMatch>
<LocationMatch "^/(?:plain/.*/info/refs|plain-report/.*/git-receive-pack)$">
    Header always set Content-Type "text/plain"
</LocationMatch>
<LocationMatch "^/(?:typeless/.*/info/refs|typeless-report/.*/git-receive-pack)$">
    Header always unset Content-Type
</LocationMatch>"#;

fn configuration(dir: &Path, port: u16) -> String {
    let modules = LOADED.map(|name| format!("LoadModule {name}_module {MODULES}/mod_{name}.so"));
    let modules = modules.join("\n");
    let dir = dir.display();
    let core = git_core();
    let core = core.display();
    format!(
        r#"
ServerRoot "{dir}"
PidFile "{dir}/pid"
DefaultRuntimeDir "{dir}"
ServerName localhost
Listen 127.0.0.1:{port}
{modules}
User www-data
Group www-data
ErrorLog "{dir}/error.log"
LogFormat "%m %U%q %>s protocol=%H accept=%{{Accept-Encoding}}i encoding=%{{Content-Encoding}}o transfer=%{{Transfer-Encoding}}i length=%{{Content-Length}}i authorization=%{{Authorization}}i agent=%{{User-Agent}}i" requests
CustomLog "{dir}/access.log" requests
LogFormat "%{{usec}}t\t%>s\t%r\t%{{Authorization}}i\t%{{User-Agent}}i\t%{{X-One}}i\t%{{X-Two}}i\t%{{Accept}}i\t%{{Content-Type}}i\t%{{Git-Protocol}}i" compared
CustomLog "{dir}/compared.log" compared
Protocols h2 http/1.1
SSLEngine on
SSLCertificateFile "{dir}/server.pem"
SSLCertificateKeyFile "{dir}/server.key"
SSLCACertificateFile "{dir}/ca.pem"
SSLVerifyClient optional
SetEnv GIT_PROJECT_ROOT "{dir}/repositories"
SetEnv GIT_HTTP_EXPORT_ALL 1
SetEnv GIT_CONFIG_NOSYSTEM 1
AddOutputFilterByType DEFLATE application/x-git-receive-pack-advertisement
ScriptAliasMatch "^/(?:anonymous|basic|push-basic|bearer|stepwise|limited|certified|filtered|loud|plain|typeless|plain-report|typeless-report)/(.*)$" {core}/git-http-backend/$1
<Directory "{core}">
    Require all granted
</Directory>
<Location "/basic">
    AuthType Basic
    AuthName "private"
    AuthUserFile "{dir}/users"
    Require valid-user
</Location>
<LocationMatch "^/push-basic/.*/git-receive-pack$">
    AuthType Basic
    AuthName "private"
    AuthUserFile "{dir}/users"
    Require valid-user
</LocationMatch>
<Location "/bearer">
    AuthType Basic
    AuthName "private"
    AuthUserFile "{dir}/users"
    Require expr "%{{HTTP:Authorization}} == 'Bearer {BEARER}'"
</Location>
<Location "/stepwise">
    RewriteEngine on
    RewriteCond "%{{HTTP:Authorization}}" "!=Bearer {BEARER}"
    RewriteRule .* - [R=401]
    Header always set WWW-Authenticate Bearer "expr=%{{REQUEST_STATUS}} == 401"
</Location>
<Location "/certified">
    Require expr "%{{SSL_CLIENT_VERIFY}} == 'SUCCESS'"
</Location>
<Location "/limited">
    LimitRequestBody 2000
</Location>
{FRONTS}
<Location "/forbidden">
    Require all denied
</Location>
<Location "/busy">
    RewriteEngine on
    RewriteRule .* - [R=429]
    Header always set Retry-After 7
</Location>
<Location "/down">
    RewriteEngine on
    RewriteRule .* - [R=503]
    Header always set Retry-After "Mon, 01 Jan 2125 00:00:00 GMT"
</Location>
Redirect 301 /moved https://localhost:{port}/anonymous
Redirect 302 /moved-to-basic https://localhost:{port}/basic
Redirect 302 /moved-to-address https://127.0.0.1:{port}/basic
Redirect 302 /moved-away https://localhost:{port}/page?next=
Alias /page "{dir}/page.html"
Alias /dumb "{dir}/repositories"
<Directory "{dir}">
    Require all granted
</Directory>
"#
    )
}

/// A forward proxy that lets CONNECT through to one port.
pub(crate) struct Tinyproxy {
    _process: Process,
    port: u16,
    log: PathBuf,
}

impl Tinyproxy {
    /// Asks for `login` (a name and a password), if it is given.
    pub(crate) fn start(dir: &Path, to: u16, login: Option<(&str, &str)>) -> Self {
        let log = dir.join("tinyproxy.log");
        let login = login.map(|(name, password)| format!("BasicAuth {name} {password}\n"));
        let (process, port) = listen(|port| {
            let file = dir.join("tinyproxy.conf");
            let configuration = format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nLogFile \"{}\"\nLogLevel Info\nConnectPort {to}\n{}",
                log.display(),
                login.as_deref().unwrap_or_default()
            );
            fs::write(&file, configuration).expect("writable");
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(file);
            command
        });
        Self {
            _process: process,
            port,
            log,
        }
    }

    /// Its URL.
    pub(crate) fn url(&self, login: &str) -> String {
        let at = if login.is_empty() { "" } else { "@" };
        format!("http://{login}{at}127.0.0.1:{}", self.port)
    }

    /// How many tunnels it was asked for.
    pub(crate) fn tunnels(&self) -> usize {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines()
            .filter(|line| line.contains("CONNECT localhost"))
            .count()
    }
}
