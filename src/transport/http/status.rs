//! What a status code or a failed request means for the operator.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::client::chain;
use super::content_type;
use super::tls_fault::fault_behind;
use crate::failure::{self, Failure, Kind, TlsFault};

/// How much of an error page is read for its message.
const PAGE_LIMIT: usize = 2 * 1024;

/// The failure that a status other than success stands for. `url` has no secrets.
pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, said: &str, url: &str) -> Failure {
    let (kind, meaning) = failure::of_status(status.as_u16(), said);
    let mut message = format!("{url} answered {status}: {meaning}");
    if !said.is_empty() {
        message.push_str("\nremote: ");
        message.push_str(said);
    }
    let failure = Failure::new(kind, message);
    match retry_after(headers, SystemTime::now()) {
        Some(delay) => failure.with_retry_after(delay),
        None => failure,
    }
}

/// How long the server asks to wait: seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The beginning of an error page in plain text, as git shows it too. HTML would say little.
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
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.trim().to_owned()
}

/// The failure behind a request that got no answer. `through` is the proxy, if there was one.
pub(super) fn of_error(context: &str, error: reqwest::Error, through: Option<&str>) -> Failure {
    let error = error.without_url();
    let kind = if is_timeout(&error) {
        Kind::Timeout
    } else {
        Kind::Network
    };
    let cause = chain(&error);
    let through = through
        .map(|proxy| format!(" through the proxy {proxy}"))
        .unwrap_or_default();
    if let Some(fault) = fault_behind(&error) {
        let advice = match fault {
            TlsFault::UnknownAuthority => {
                ": set http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE to the authority that signed it"
            }
            _ => "",
        };
        let problem = fault.problem();
        // Behind it rustls lists all that it knows.
        let cause = cause.split(" { ").next().unwrap_or_default();
        return Failure::from_tls(fault, format!("{context}{through}: {problem}{advice} ({cause})"));
    }
    // hyper-util names it by no type that could be looked for.
    let is_refused_by_proxy = cause.contains("proxy authorization required");
    let kind = if is_refused_by_proxy { Kind::Auth } else { kind };
    // Nor this: the proxy's answer to CONNECT was something else than a success.
    let is_tunnel_refused = cause.contains("tunnel error: unsuccessful");
    let advice = if is_tunnel_refused {
        " (the proxy refused: check its rules, and the user and password in its URL)"
    } else {
        ""
    };
    Failure::new(kind, format!("{context}{through}: {cause}{advice}"))
}

fn is_timeout(error: &reqwest::Error) -> bool {
    error.is_timeout()
        || causes(error).any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        })
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).expect("valid")
    }

    #[test]
    fn what_the_server_said_is_told() {
        let failure = of_status(
            status(403),
            &HeaderMap::new(),
            "Write access not granted.",
            "https://h/r",
        );
        assert!(
            failure.message().ends_with("remote: Write access not granted."),
            "{failure}"
        );
    }

    #[test]
    fn the_wait_that_a_server_asks_for_is_seconds_or_a_date() {
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
