//! Removes from git's standard error the lines that tell nothing about a failure.

/// git's message without its progress, and without the lines that end every failure: hints, and advice for people at a
/// terminal.
pub(crate) fn essence(stderr: &str) -> String {
    const REPEATED: [&str; 5] = [
        "hint:",
        "Cloning into ",
        "error: failed to push some refs to ",
        "Please make sure you have the correct access rights",
        "and the repository exists.",
    ];
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| !is_progress(line) && !REPEATED.iter().any(|start| line.starts_with(start)))
        .collect();
    lines.join("\n")
}

/// The messages of a server without its progress.
pub(crate) fn without_progress(messages: &str) -> String {
    let lines: Vec<&str> = messages.lines().filter(|line| !is_progress(line)).collect();
    lines.join("\n")
}

/// Whether a line is progress of git on this machine, of git on the server, or of git-lfs.
fn is_progress(line: &str) -> bool {
    const STEPS: [&str; 10] = [
        "Enumerating objects: ",
        "Counting objects: ",
        "Delta compression using ",
        "Compressing objects: ",
        "Writing objects: ",
        "Receiving objects: ",
        "Unpacking objects: ",
        "Resolving deltas: ",
        "Checking connectivity: ",
        "Uploading LFS objects: ",
    ];
    STEPS.iter().any(|step| line.starts_with(step)) || line.starts_with("Total ") && line.contains(" (delta ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_and_the_lines_that_end_every_failure_are_removed() {
        for (stderr, expected) in [
            (
                "Enumerating objects: 5, done.\nWriting objects:  33% (1/3)\nWriting objects: 100% (3/3), 250 bytes | 250.00 KiB/s, done.\nTotal 3 (delta 0), reused 0 (delta 0)\nUnpacking objects: 100% (3/3), done.\nTotal is right",
                "Total is right",
            ),
            (
                "declined because\nerror: failed to push some refs to '../r.git'\nhint: Updates were rejected\nhint:\nhint: Fetch first",
                "declined because",
            ),
            (
                "Cloning into bare repository 'x'...\nReceiving objects:  12% (1/8), 1.00 KiB | 1.00 KiB/s\nfatal: early EOF",
                "fatal: early EOF",
            ),
            (
                "ssh: connect to host h port 1: Connection refused\nfatal: Could not read from remote repository.\nPlease make sure you have the correct access rights\nand the repository exists.",
                "ssh: connect to host h port 1: Connection refused\nfatal: Could not read from remote repository.",
            ),
        ] {
            assert_eq!(essence(stderr), expected);
        }
    }
}
