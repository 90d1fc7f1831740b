//! Children that answer one question and exit, such as `git credential`.

use std::io;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Background;
use super::child::Child;

/// How much of a child's answer is read: far more than any has to say.
const ANSWER_LIMIT: u64 = 1024 * 1024;

/// What a child said before it exited.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its standard output.
    pub(crate) output: Vec<u8>,
    /// The end of its standard error, for a child that answered nothing else.
    pub(crate) words: String,
}

/// Gives a child its input, and reads its answer until it exits. Dropping the future ends its group.
pub(crate) async fn converse(command: Command, input: Vec<u8>, background: &Background) -> io::Result<Said> {
    let (mut child, mut stdin, stdout) = Child::spawn(command, background)?;
    let mut output = Vec::new();
    let mut answer = stdout.take(ANSWER_LIMIT);
    let asking = async {
        // A child may exit without having read it all.
        let _ = stdin.write_all(&input).await;
        drop(stdin);
    };
    let ((), read) = tokio::join!(asking, answer.read_to_end(&mut output));
    read?;
    drop(answer);
    child.exited().await;
    // Whoever answered needs no last words, and may have left a daemon behind that keeps the pipe open.
    let words = if output.is_empty() {
        child.last_words().await
    } else {
        String::new()
    };
    Ok(Said { output, words })
}
