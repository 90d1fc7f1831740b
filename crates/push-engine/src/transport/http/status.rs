//! What a status code or a failed request means for the operator.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::tls_fault::fault_behind;
use crate::failure::{self, Failure, Kind};

/// How much of an error page is read for its message.
const PAGE_LIMIT: usize = 2 * 1024;

/// The failure of an unsuccessful status. `page` is its plain text and `url` has no secrets; `reason` is why no credential
/// could be sent.
pub(super) fn of_status(
    status: StatusCode,
    headers: &HeaderMap,
    page: &str,
    url: &str,
    reason: Option<&str>,
) -> Failure {
    let (kind, meaning) = match reason {
        Some(reason) => (Kind::Auth, reason),
        None => failure::meaning_of_status(status.as_u16(), page),
    };
    let mut message = format!("{url} answered {status}: {meaning}");
    if !page.is_empty() {
        message.push_str("\nremote: ");
        message.push_str(page);
    }
    let failure = Failure::new(kind, message);
    match retry_after(headers, SystemTime::now()) {
        Some(delay) if reason.is_none() => failure.with_retry_after(delay),
        _ => failure,
    }
}

/// How long the server asks to wait, in seconds or as a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The type of an answer as git reads it: without parameters and spaces, in lower case. As in curl, the last of several
/// counts.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get_all(CONTENT_TYPE).into_iter().next_back();
    let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let essence = value.as_deref().and_then(|value| value.split(';').next());
    let essence = essence.unwrap_or_default().to_ascii_lowercase();
    essence.split_ascii_whitespace().collect()
}

/// The beginning of an error page in plain text, which git shows too. HTML would say little.
pub(super) async fn page(response: &mut Response) -> String {
    let is_plain = content_type(response.headers()) == "text/plain";
    let mut page = Vec::new();
    while is_plain
        && page.len() < PAGE_LIMIT
        && let Ok(Some(chunk)) = response.chunk().await
    {
        page.extend_from_slice(&chunk);
    }
    page.truncate(PAGE_LIMIT);
    let text = String::from_utf8_lossy(&page);
    text.replace(char::is_control, " ").trim().to_owned()
}

/// The failure of a request without an answer. `proxy` is the one that it went through.
pub(super) fn of_error(context: &str, error: reqwest::Error, proxy: Option<&str>) -> Failure {
    let error = error.without_url();
    let cause = chain(&error);
    let through = proxy
        .map(|proxy| format!(" through the proxy {proxy}"))
        .unwrap_or_default();
    if let Some(fault) = fault_behind(&error, &cause) {
        let (problem, advice) = (fault.problem(), fault.advice());
        // rustls appends a list of everything that it knows.
        let cause = cause.split(" { ").next().unwrap_or_default();
        return Failure::from_tls(fault, format!("{context}{through}: {problem}{advice} ({cause})"));
    }
    let is_timeout = |error: &(dyn Error + 'static)| {
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    let is_timeout =
        error.is_timeout() || successors(error.source(), |&error| error.source()).any(is_timeout);
    Failure::from_unanswered_request(&format!("{context}{through}"), &cause, is_timeout)
}

/// An error with its causes, each once: the last ones tell what really happened.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in successors(error.source(), |&error| error.source()) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).expect("valid")
    }

    #[test]
    fn the_message_of_the_server_is_shown() {
        let failure = of_status(
            status(403),
            &HeaderMap::new(),
            "Write access not granted.",
            "https://h/r",
            None,
        );
        assert!(
            failure.message().ends_with("remote: Write access not granted."),
            "{failure}"
        );
    }

    #[test]
    fn a_content_type_is_read_as_git_reads_it() {
        for (values, expected) in [
            (&["text/plain"][..], "text/plain"),
            (&[" Text/PLAIN ; charset=utf-8"], "text/plain"),
            (&["text / plain;charset=\"utf-8\""], "text/plain"),
            (&["text/html", "text/plain"], "text/plain"),
            (&[""], ""),
            (&[], ""),
        ] {
            let values = values
                .iter()
                .map(|value| (CONTENT_TYPE, value.parse().expect("a value")));
            let mut headers = HeaderMap::new();
            for (name, value) in values {
                headers.append(name, value);
            }
            assert_eq!(content_type(&headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_444_200);
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Mon, 23 Nov 2026 14:30:30 GMT", Some(30)),
            ("Mon, 23 Nov 2026 14:29:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
            let delay = retry_after(&headers, now);
            assert_eq!(delay, expected.map(Duration::from_secs), "{value}");
        }
    }
}
