//! The benchmark's peers that are not Node: the floor, and libgit2's own push. Also what makes the bytes that the
//! floor replays.
//!
//! Reads one line for each command, with tabs between its words, and answers each with one line: the
//! milliseconds that it took, or `error` and why. Clocks start here and not in the benchmark, so that the pipe
//! between the two is in no number.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use git_local::pack::{PackRequest, write_pack};
use git_wire::oid::Oid;
use git_wire::pkt_line::{encode, encode_flush};
use git2::Repository;

type Outcome<T> = Result<T, Box<dyn Error>>;

const BRANCH: &str = "refs/heads/main";
/// Those that the daemon asks for, too.
const CAPABILITIES: &str = "report-status side-band-64k object-format=sha1 agent=git-push-daemon-floor";
/// What the report says once the ref has moved.
const REPORTED: &[u8] = b"ok refs/heads/main";

fn main() -> Outcome<()> {
    let mut ready = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split('\t').collect();
        let answer = match perform(&words, &mut ready) {
            Ok(milliseconds) => milliseconds.to_string(),
            Err(error) => format!("error {}", error.to_string().replace('\n', " ")),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn perform(words: &[&str], ready: &mut Option<Server>) -> Outcome<f64> {
    let started = Instant::now();
    let elapsed = || started.elapsed().as_secs_f64() * 1e3;
    match words {
        // Makes the request and the pack of one push.
        ["record", repository, old, new, file] => record(repository, old, new, file).map(|()| elapsed()),
        // Starts the server and replays.
        ["replay", file, program @ ..] => {
            let request = fs::read(file)?;
            let started = Instant::now();
            let mut server = Server::start(program)?;
            server.replay(&request)?;
            let took = started.elapsed().as_secs_f64() * 1e3;
            server.end()?;
            Ok(took)
        }
        // Starts the server before the clock does: a connection that was kept ready.
        ["ready", program @ ..] => {
            *ready = Some(Server::start(program)?);
            Ok(elapsed())
        }
        ["replay-ready", file] => {
            let request = fs::read(file)?;
            let mut server = ready.take().ok_or("nothing is ready")?;
            let started = Instant::now();
            server.replay(&request)?;
            let took = started.elapsed().as_secs_f64() * 1e3;
            server.end()?;
            Ok(took)
        }
        // Pushes as a program that embeds libgit2 does.
        ["libgit2", repository, remote] => {
            libgit2(repository, remote)?;
            Ok(elapsed())
        }
        _ => Err(format!("an unknown command: {words:?}").into()),
    }
}

fn record(repository: &str, old: &str, new: &str, file: &str) -> Outcome<()> {
    let repository = Repository::open(repository)?;
    let (before, tip): (Oid, Oid) = (old.parse()?, new.parse()?);
    let mut request = Vec::new();
    encode(
        format!("{old} {new} {BRANCH}\0 {CAPABILITIES}").as_bytes(),
        &mut request,
    );
    encode_flush(&mut request);
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(&request)?;
    let wanted = PackRequest {
        tip,
        remote_has: vec![before],
        leave_out_missing: false,
    };
    write_pack(&repository, &wanted, &mut out).map_err(|failure| failure.message().to_owned())?;
    out.flush()?;
    Ok(())
}

fn libgit2(repository: &str, remote: &str) -> Outcome<()> {
    let repository = Repository::open(Path::new(repository))?;
    let mut remote = repository.remote_anonymous(remote)?;
    remote.push(&[format!("{BRANCH}:{BRANCH}")], None)?;
    Ok(())
}

/// A receive-pack, on this machine or behind ssh, whose advertisement was read.
struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Server {
    fn start(program: &[&str]) -> Outcome<Self> {
        let (name, arguments) = program.split_first().ok_or("no program")?;
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no pipe")?;
        let stdout = child.stdout.take().ok_or("no pipe")?;
        let mut server = Self { child, stdin, stdout };
        server.skip_advertisement()?;
        Ok(server)
    }

    fn skip_advertisement(&mut self) -> Outcome<()> {
        let mut reader = io::BufReader::with_capacity(64 * 1024, &mut self.stdout);
        loop {
            let mut length = [0; 4];
            reader.read_exact(&mut length)?;
            let length = usize::from_str_radix(std::str::from_utf8(&length)?, 16)?;
            if length == 0 {
                return Ok(());
            }
            let mut line = vec![0; length.saturating_sub(4)];
            reader.read_exact(&mut line)?;
        }
    }

    /// Writes the bytes, and reads until the report says that the ref has moved.
    fn replay(&mut self, request: &[u8]) -> Outcome<()> {
        self.stdin.write_all(request)?;
        self.stdin.flush()?;
        let mut said = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let count = self.stdout.read(&mut buffer)?;
            if count == 0 {
                return Err(format!("refused: {}", String::from_utf8_lossy(&said)).into());
            }
            said.extend_from_slice(&buffer[..count]);
            if said.windows(REPORTED.len()).any(|window| window == REPORTED) {
                return Ok(());
            }
        }
    }

    /// Outside of the clock: lets the server end.
    fn end(mut self) -> Outcome<()> {
        drop(self.stdin);
        io::copy(&mut self.stdout, &mut io::sink())?;
        self.child.wait()?;
        Ok(())
    }
}
