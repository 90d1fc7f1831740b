//! Names the fault behind an error of rustls: a fault of the certificate, or a limit of rustls that git's TLS may not have.

use std::error::Error as _;
use std::io;
use std::iter::successors;

use rustls::{AlertDescription as Alert, CertificateError, Error, InvalidMessage, OtherError};

use crate::failure::TlsFault;

/// The fault of TLS behind a request without an answer. `text` is the error with its causes.
pub(super) fn fault_behind(error: &reqwest::Error, text: &str) -> Option<TlsFault> {
    match successors(error.source(), |&error| error.source()).find_map(tls_error) {
        Some(error) => fault_of(error),
        // HTTP/2's error has its cause only in its text.
        None => ABOUT_CLIENT
            .iter()
            .any(|&alert| text.contains(&Error::AlertReceived(alert).to_string()))
            .then_some(TlsFault::ClientRefused),
    }
}

/// The error of rustls that an error is or wraps. The `source` of an I/O error skips the error that it wraps.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => tls_error(wrapped),
        None => error.downcast_ref(),
    }
}

/// `None` if it is no more than a broken connection.
fn fault_of(error: &Error) -> Option<TlsFault> {
    match error {
        Error::InvalidCertificate(error) => Some(certificate_fault(error)),
        Error::AlertReceived(alert) => alert_fault(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(TlsFault::NotTls),
        Error::PeerIncompatible(_)
        | Error::PeerMisbehaved(_)
        | Error::InvalidMessage(_)
        | Error::NoCertificatesPresented
        | Error::NoApplicationProtocol => Some(TlsFault::NothingInCommon),
        _ => None,
    }
}

fn certificate_fault(error: &CertificateError) -> TlsFault {
    use CertificateError as Of;
    match error {
        Of::Expired | Of::ExpiredContext { .. } => TlsFault::Expired,
        Of::NotValidYet | Of::NotValidYetContext { .. } => TlsFault::NotYetValid,
        Of::Revoked => TlsFault::Revoked,
        Of::UnknownIssuer => TlsFault::UnknownAuthority,
        Of::BadSignature => TlsFault::BadSignature,
        Of::NotValidForNameContext { presented, .. } if presented.is_empty() => TlsFault::NoAlternativeName,
        Of::NotValidForName | Of::NotValidForNameContext { .. } => TlsFault::WrongName,
        Of::InvalidPurpose | Of::InvalidPurposeContext { .. } => TlsFault::WrongPurpose,
        Of::BadEncoding
        | Of::UnhandledCriticalExtension
        | Of::UnsupportedSignatureAlgorithmContext { .. }
        | Of::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => TlsFault::UnsupportedCertificate,
        // rustls has no variant of its own for these.
        Of::Other(OtherError(cause)) => match cause.to_string().as_str() {
            "CaUsedAsEndEntity" => TlsFault::UnknownAuthority,
            "UnsupportedCertVersion" => TlsFault::UnsupportedCertificate,
            _ => TlsFault::NotAccepted,
        },
        _ => TlsFault::NotAccepted,
    }
}

/// The alerts of servers about our certificate.
const ABOUT_CLIENT: [Alert; 9] = [
    Alert::NoCertificate,
    Alert::BadCertificate,
    Alert::UnsupportedCertificate,
    Alert::CertificateRevoked,
    Alert::CertificateExpired,
    Alert::CertificateUnknown,
    Alert::CertificateRequired,
    Alert::UnknownCA,
    Alert::AccessDenied,
];

fn alert_fault(alert: Alert) -> Option<TlsFault> {
    match alert {
        Alert::CloseNotify | Alert::UserCanceled | Alert::BadRecordMac | Alert::UnexpectedMessage => None,
        alert if ABOUT_CLIENT.contains(&alert) => Some(TlsFault::ClientRefused),
        _ => Some(TlsFault::NothingInCommon),
    }
}
