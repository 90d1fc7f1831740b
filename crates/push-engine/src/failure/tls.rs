//! Faults of TLS: what is wrong with a certificate, or what the two sides lack in common. rustls names the fault; the TLS
//! library behind git's curl (OpenSSL, `GnuTLS` or Schannel) prints an error.

use super::Kind;
use super::table::{Table, contains_any};

/// Why there is no TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is for another host.
    WrongName,
    /// The certificate names its host in the subject alone.
    NoAlternativeName,
    /// The certificate, or one of its chain, has expired.
    Expired,
    /// The certificate, or one of its chain, is not yet valid.
    NotYetValid,
    /// No trusted authority has signed the certificate.
    UnknownAuthority,
    /// A signature does not verify.
    BadSignature,
    /// The authority has revoked the certificate.
    Revoked,
    /// The certificate is not for a server.
    WrongPurpose,
    /// rustls does not support the certificate's version, key or signature.
    UnsupportedCertificate,
    /// The key is not the one that `http.pinnedPubkey` names.
    WrongPin,
    /// The certificate was refused for an unknown reason.
    NotAccepted,
    /// The two sides have no version, cipher or kind of key in common.
    NothingInCommon,
    /// The server does not speak TLS.
    NotTls,
    /// The server refused the client's certificate, or requires one.
    ClientRefused,
    /// The key of the client's certificate has a passphrase.
    ClientKeyEncrypted,
    /// rustls does not support the key of the client's certificate.
    ClientKeyUnsupported,
    /// The client's certificate or its key cannot be read.
    ClientUnusable,
    /// The trusted certificates cannot be read.
    TrustUnusable,
}

/// Errors of the TLS libraries behind curl.
const ERRORS: Table<TlsFault> = Table(&[
    ("does not match pinned public key", TlsFault::WrongPin),
    // An alert is about the client's certificate; without "alert", the same text is about the server's.
    ("alert certificate", TlsFault::ClientRefused),
    ("alert bad certificate", TlsFault::ClientRefused),
    ("alert unsupported certificate", TlsFault::ClientRefused),
    ("alert unknown ca", TlsFault::ClientRefused),
    ("alert access denied", TlsFault::ClientRefused),
    ("certificate is required", TlsFault::ClientRefused),
    ("alert protocol version", TlsFault::NothingInCommon),
    ("alert handshake failure", TlsFault::NothingInCommon),
    ("alert insufficient security", TlsFault::NothingInCommon),
    ("private key file", TlsFault::ClientUnusable),
    ("client certificate", TlsFault::ClientUnusable),
    (
        "error reading x.509 key or certificate file",
        TlsFault::ClientUnusable,
    ),
    ("error setting certificate", TlsFault::TrustUnusable),
    ("error adding trust anchors", TlsFault::TrustUnusable),
    ("error reading ca cert", TlsFault::TrustUnusable),
    ("problem with the ssl ca cert", TlsFault::TrustUnusable),
    ("problem with the local ssl cert", TlsFault::ClientUnusable),
    ("ssl peer certificate", TlsFault::NotAccepted),
    ("matches target host", TlsFault::WrongName),
    ("does not match target", TlsFault::WrongName),
    ("sec_e_wrong_principal", TlsFault::WrongName),
    ("certificate has expired", TlsFault::Expired),
    ("certificate expired", TlsFault::Expired),
    ("expiration date has passed", TlsFault::Expired),
    ("uses expired certificate", TlsFault::Expired),
    ("sec_e_cert_expired", TlsFault::Expired),
    ("not yet valid", TlsFault::NotYetValid),
    ("not yet activated", TlsFault::NotYetValid),
    ("not activated yet", TlsFault::NotYetValid),
    ("certificate revoked", TlsFault::Revoked),
    ("has been revoked", TlsFault::Revoked),
    ("certificate purpose", TlsFault::WrongPurpose),
    ("signature failure", TlsFault::BadSignature),
    ("issuer certificate", TlsFault::UnknownAuthority),
    ("self-signed certificate", TlsFault::UnknownAuthority),
    ("self signed certificate", TlsFault::UnknownAuthority),
    ("verify the first certificate", TlsFault::UnknownAuthority),
    ("issuer is unknown", TlsFault::UnknownAuthority),
    ("sec_e_untrusted_root", TlsFault::UnknownAuthority),
    ("certificate problem", TlsFault::NotAccepted),
    ("certificate verif", TlsFault::NotAccepted),
    ("wrong version number", TlsFault::NotTls),
    ("unexpected tls packet", TlsFault::NotTls),
    ("ssl routines", TlsFault::NothingInCommon),
    ("handshake failed", TlsFault::NothingInCommon),
    ("gnutls_handshake() failed", TlsFault::NothingInCommon),
    ("tls fatal alert", TlsFault::NothingInCommon),
]);

/// Precedes curl's errors in the output of git: elsewhere, the same text is not about this connection.
const BEFORE_ERROR: [&str; 2] = ["fatal: unable to access '", "rpc failed; curl "];

/// Errors of the TLS libraries about a broken connection.
const BROKEN: [&str; 3] = [
    "connection was non-properly terminated",
    "unexpected eof",
    "syscall",
];

impl TlsFault {
    /// The fault that git reports, if any.
    pub(super) fn of_git(text: &str) -> Option<Self> {
        text.to_ascii_lowercase().lines().find_map(|line| {
            let mut parts = BEFORE_ERROR.iter().filter_map(|before| line.split_once(before));
            let (_, error) = parts.next()?;
            // The URL may contain any text.
            let error = error.split_once("': ").map_or(error, |(_, error)| error);
            ERRORS.find(error).filter(|_| !contains_any(error, &BROKEN))
        })
    }

    /// The kind of the failure.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::ClientRefused => Kind::Auth,
            Self::ClientKeyEncrypted
            | Self::ClientKeyUnsupported
            | Self::ClientUnusable
            | Self::TrustUnusable => Kind::Local,
            _ => Kind::Network,
        }
    }

    /// Whether git's own TLS may still connect. It cannot if the certificate is out of date or revoked, or a key has a
    /// passphrase.
    #[must_use]
    pub const fn is_for_git(self) -> bool {
        !matches!(
            self,
            Self::Expired | Self::NotYetValid | Self::Revoked | Self::NotTls | Self::ClientKeyEncrypted
        )
    }

    /// Whether the fault may be a limit of rustls alone, so that git push is worth a try.
    #[must_use]
    pub const fn is_limit_of_ours(self) -> bool {
        matches!(
            self,
            Self::NoAlternativeName
                | Self::BadSignature
                | Self::WrongPurpose
                | Self::UnsupportedCertificate
                | Self::NothingInCommon
                | Self::ClientKeyUnsupported
        )
    }

    /// What is wrong, as part of a sentence: the hint up to its colon.
    #[must_use]
    pub fn problem(self) -> String {
        let (problem, _) = self.hint().split_once(": ").unwrap_or((self.hint(), ""));
        format!("{}{}", problem[..1].to_ascii_lowercase(), &problem[1..])
    }

    /// What to do, as part of the message behind [`problem`](Self::problem); empty if only the hint tells it.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::UnknownAuthority => {
                ": set http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE to the certificate of the authority that signed it"
            }
            _ => "",
        }
    }

    /// One line that tells the operator what is wrong, and what to do.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::WrongName => {
                "The server's certificate is for a different host name: put a name that it lists into the remote's URL, or get a certificate for the URL's name."
            }
            Self::NoAlternativeName => {
                "The server's certificate has its host name only in the subject, and no subjectAltName: get a certificate with a subjectAltName, which most clients require."
            }
            Self::Expired => {
                "The server's certificate has expired: renew it on the server, and check the clock of this machine."
            }
            Self::NotYetValid => {
                "The server's certificate is not yet valid: check the clock of this machine, and the date from which the certificate is valid."
            }
            Self::UnknownAuthority => {
                "The server's certificate is not signed by a trusted authority: verify it, then set http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE to the authority's certificate, and make sure that the server sends its intermediate certificates."
            }
            Self::BadSignature => {
                "The signature of the server's certificate is invalid, or made with a key whose length the native TLS does not support: check that http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE has the authority's current certificate, and that all RSA keys have 2048 to 8192 bits."
            }
            Self::Revoked => "The server's certificate has been revoked: get a new one from its authority.",
            Self::WrongPurpose => {
                "The server's certificate is not meant for servers: get one with the extended key usage serverAuth."
            }
            Self::UnsupportedCertificate => {
                "The server's certificate, or its authority's, has a version or a key that the native TLS does not support: get a certificate of version 3 with a key of RSA 2048, P-256 or P-384."
            }
            Self::WrongPin => {
                "The server's public key is not the one in http.pinnedPubkey: verify the server's new key with its operator, then update the pin."
            }
            Self::NotAccepted => {
                "The server's certificate was not accepted: check its name, its dates and its authority with `openssl s_client -showcerts`; http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE names the trusted authorities."
            }
            Self::NothingInCommon => {
                "The server offers no version, cipher or kind of key that the native TLS supports: configure TLS 1.2 or 1.3 with current ciphers on the server, and a certificate with a key of RSA 2048, P-256 or P-384. A server that requires a client certificate (http.sslCert) may refuse in the same way."
            }
            Self::NotTls => {
                "The server does not speak TLS on this port: check the port of the URL, and whether it should begin with http://."
            }
            Self::ClientRefused => {
                "The server did not accept the client certificate of http.sslCert, or requires one: check that http.sslCert and http.sslKey are set, and that the certificate has not expired and is signed by an authority that the server trusts."
            }
            Self::ClientKeyEncrypted => {
                "The key of the client certificate is encrypted: store it without a passphrase, or set http.sslCertPasswordProtected to true and a credential helper that knows the passphrase."
            }
            Self::ClientKeyUnsupported => {
                "The key of the client certificate has a type that the native TLS does not support: use a client certificate with a key of RSA 2048, P-256 or P-384."
            }
            Self::ClientUnusable => {
                "The client certificate or its key cannot be used: check that the files of http.sslCert and http.sslKey are readable and belong together, and that the key is not encrypted."
            }
            Self::TrustUnusable => {
                "The trusted certificates cannot be used: check the file of http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE, which must hold certificates in PEM."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Failure;
    use super::*;

    /// Errors of git 2.47 through curl with OpenSSL, `GnuTLS` and Schannel, behind `unable to access`.
    const SAMPLES: &[(&str, Option<TlsFault>)] = &[
        (
            "SSL: no alternative certificate subject name matches target host name 'h'",
            Some(TlsFault::WrongName),
        ),
        (
            "SSL: certificate subject name (e) does not match target host name 'h'",
            Some(TlsFault::WrongName),
        ),
        (
            "SSL certificate problem: certificate has expired",
            Some(TlsFault::Expired),
        ),
        (
            "server certificate expiration date has passed.",
            Some(TlsFault::Expired),
        ),
        (
            "SSL certificate problem: certificate is not yet valid",
            Some(TlsFault::NotYetValid),
        ),
        (
            "server certificate not activated yet.",
            Some(TlsFault::NotYetValid),
        ),
        (
            "SSL certificate problem: unable to get local issuer certificate",
            Some(TlsFault::UnknownAuthority),
        ),
        (
            "SSL certificate problem: self-signed certificate in certificate chain",
            Some(TlsFault::UnknownAuthority),
        ),
        (
            "SSL certificate problem: certificate revoked",
            Some(TlsFault::Revoked),
        ),
        (
            "SSL certificate problem: unsuitable certificate purpose",
            Some(TlsFault::WrongPurpose),
        ),
        (
            "server certificate verification failed. CAfile: /ca.pem CRLfile: none",
            Some(TlsFault::NotAccepted),
        ),
        (
            "SSL certificate problem: CA signature digest algorithm too weak",
            Some(TlsFault::NotAccepted),
        ),
        (
            "error setting certificate verify locations:  CAfile: /x CApath: none",
            Some(TlsFault::TrustUnusable),
        ),
        (
            "Problem with the SSL CA cert (path? access rights?)",
            Some(TlsFault::TrustUnusable),
        ),
        (
            "error reading X.509 key or certificate file: Decryption has failed.",
            Some(TlsFault::ClientUnusable),
        ),
        (
            "unable to set private key file: '/k' type PEM",
            Some(TlsFault::ClientUnusable),
        ),
        (
            "error:0A000418:SSL routines::tlsv1 alert unknown ca",
            Some(TlsFault::ClientRefused),
        ),
        (
            "error:0A00045C:SSL routines::tlsv13 alert certificate required",
            Some(TlsFault::ClientRefused),
        ),
        (
            "error:0A000415:SSL routines::sslv3 alert certificate expired",
            Some(TlsFault::ClientRefused),
        ),
        (
            "error:0A000102:SSL routines::unsupported protocol",
            Some(TlsFault::NothingInCommon),
        ),
        (
            "gnutls_handshake() failed: A packet with illegal or unsupported version was received.",
            Some(TlsFault::NothingInCommon),
        ),
        (
            "error:0A00010B:SSL routines::wrong version number",
            Some(TlsFault::NotTls),
        ),
        (
            "gnutls_handshake() failed: The TLS connection was non-properly terminated.",
            None,
        ),
        (
            "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to h:443",
            None,
        ),
        (
            "SSL: public key does not match pinned public key",
            Some(TlsFault::WrongPin),
        ),
        ("Could not resolve host: h", None),
        (
            "Failed to connect to h port 443 after 0 ms: Couldn't connect to server",
            None,
        ),
    ];

    #[test]
    fn each_tls_error_of_git_has_its_fault_kind_and_hint() {
        for &(error, fault) in SAMPLES {
            let stderr = format!("fatal: unable to access 'https://h/r.git/': {error}\n");
            let failure = Failure::from_git_cli("git ls-remote", &stderr);
            assert_eq!(failure.tls_fault(), fault, "{error}");
            let expected = fault.map_or(Kind::Network, TlsFault::kind);
            assert_eq!(failure.kind(), expected, "{error}");
            let hint = fault.map_or(Kind::Network.hint(), TlsFault::hint);
            assert_eq!(failure.hint(), hint, "{error}");
        }
    }

    #[test]
    fn the_text_of_a_hook_or_a_url_is_no_fault_of_this_connection() {
        for error in [
            "remote: SSL certificate problem: certificate has expired",
            "fatal: unable to access 'https://h/certificate%20expired/': Could not resolve host: h",
            "error: certificate has expired",
        ] {
            assert_eq!(TlsFault::of_git(error), None, "{error}");
        }
    }
}
