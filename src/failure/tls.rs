//! Faults of TLS: what is wrong with a certificate, or what the two sides lack in common. rustls names them here; the TLS
//! library behind git's curl does in words, which differ between OpenSSL, `GnuTLS` and Schannel.

use super::Kind;

/// Why there is no TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate is for another host.
    WrongName,
    /// The certificate names its host in the subject alone.
    NoAlternativeName,
    /// The certificate, or one that vouches for it, is out of date.
    Expired,
    /// The same, not yet in date.
    NotYetValid,
    /// No trusted authority vouches for the certificate.
    UnknownAuthority,
    /// A signature does not verify.
    BadSignature,
    /// The authority has taken the certificate back.
    Revoked,
    /// The certificate is for something other than a server.
    WrongPurpose,
    /// The certificate's version, key or signature is unknown to rustls.
    UnsupportedCertificate,
    /// The key is another one than `http.pinnedPubkey` names.
    WrongPin,
    /// The certificate was refused, and nothing tells why.
    NotAccepted,
    /// No version, cipher or kind of key is common to both sides.
    NothingInCommon,
    /// What answers speaks something other than TLS.
    NotTls,
    /// The server does not take our certificate, or misses one.
    ClientRefused,
    /// The key of our certificate has a passphrase.
    ClientKeyEncrypted,
    /// The key of our certificate is of a kind unknown to rustls.
    ClientKeyUnsupported,
    /// Our certificate or its key cannot be read.
    ClientUnusable,
    /// The trusted certificates cannot be read.
    TrustUnusable,
}

/// Words of the TLS libraries behind curl, in lower case, most telling first.
const WORDS: &[(&str, TlsFault)] = &[
    ("does not match pinned public key", TlsFault::WrongPin),
    // Alerts are about our own certificate, in the words that are otherwise about the server's.
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
];

/// Where git repeats what curl said: nowhere else do those words speak of this connection.
const BEFORE_WORDS: [&str; 2] = ["fatal: unable to access '", "rpc failed; curl "];

/// Words of a broken connection, which TLS libraries say in their own way.
const BROKEN: [&str; 3] = [
    "connection was non-properly terminated",
    "unexpected eof",
    "syscall",
];

impl TlsFault {
    /// The fault that git tells of, if it does.
    pub(super) fn in_words(said: &str) -> Option<Self> {
        said.lines().find_map(|line| {
            let line = line.to_ascii_lowercase();
            let words = BEFORE_WORDS
                .iter()
                .find_map(|before| Some(line.split_once(before)?.1))?;
            // The URL may hold any words.
            let words = words.split_once("': ").map_or(words, |(_, words)| words);
            if BROKEN.iter().any(|broken| words.contains(broken)) {
                return None;
            }
            WORDS
                .iter()
                .find(|(known, _)| words.contains(known))
                .map(|&(_, fault)| fault)
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

    /// Whether git's own TLS may still connect. A certificate that is out of date or revoked is so for everybody, and a
    /// key with a passphrase cannot be read without it.
    #[must_use]
    pub const fn is_for_git(self) -> bool {
        !matches!(
            self,
            Self::Expired | Self::NotYetValid | Self::Revoked | Self::NotTls | Self::ClientKeyEncrypted
        )
    }

    /// Whether rustls may be the only one that it matters to: git push is worth a try.
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

    /// What is wrong, as part of a sentence.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::WrongName => "the server's certificate is for another name",
            Self::NoAlternativeName => {
                "the server's certificate has its name in the subject alone, without a subjectAltName"
            }
            Self::Expired => "the server's certificate has expired",
            Self::NotYetValid => "the server's certificate is not yet valid",
            Self::UnknownAuthority => {
                "the server's certificate is signed by no authority that is trusted here"
            }
            Self::BadSignature => {
                "the signature of the server's certificate does not verify, or is by a key of a length that the native TLS does not know"
            }
            Self::Revoked => "the server's certificate has been revoked",
            Self::WrongPurpose => "the server's certificate is not meant for servers",
            Self::UnsupportedCertificate => {
                "the server's certificate, or its authority's, is of a version or has a key that the native TLS does not know"
            }
            Self::WrongPin => "the server's public key is not the one of http.pinnedPubkey",
            Self::NotAccepted => "the server's certificate was not accepted",
            Self::NothingInCommon => {
                "the server offers no version, cipher or kind of key that the native TLS knows"
            }
            Self::NotTls => "what answers there does not speak TLS",
            Self::ClientRefused => {
                "the server did not accept the client certificate of http.sslCert, or requires one"
            }
            Self::ClientKeyEncrypted => "the key of the client certificate is encrypted",
            Self::ClientKeyUnsupported => {
                "the key of the client certificate is of a kind that the native TLS does not know"
            }
            Self::ClientUnusable => "the client certificate or its key cannot be used",
            Self::TrustUnusable => "the trusted certificates cannot be used",
        }
    }

    /// One line that tells the operator what to do.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::WrongName => {
                "The server's certificate is for another name: use a name that it is for in the remote's URL, or have the server's certificate issued for this one."
            }
            Self::NoAlternativeName => {
                "The server's certificate has no subjectAltName: have it issued with one, as most clients ask for it."
            }
            Self::Expired => {
                "The server's certificate has expired: renew it on the server, and check the clock of this machine."
            }
            Self::NotYetValid => {
                "The server's certificate is not yet valid: check the clock of this machine, and the date from which the certificate is valid."
            }
            Self::UnknownAuthority => {
                "No authority that is trusted here has signed the server's certificate: verify the certificate, then set http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE to its authority's, and have the server send its intermediate certificates."
            }
            Self::BadSignature => {
                "The signature of the server's certificate does not verify: check that http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE has the authority's current certificate, and that all RSA keys have 2048 to 8192 bits."
            }
            Self::Revoked => {
                "The server's certificate has been revoked by its authority: have a new one issued for the server."
            }
            Self::WrongPurpose => {
                "The server's certificate is not meant for servers: have it issued with the extended key usage serverAuth."
            }
            Self::UnsupportedCertificate => {
                "The native TLS does not know this kind of certificate: have the server's issued with a key of RSA 2048, P-256 or P-384 in version 3."
            }
            Self::WrongPin => {
                "The server's public key is not the one that http.pinnedPubkey names: verify the server's new key with its operator, then update the pin."
            }
            Self::NotAccepted => {
                "The server's certificate was not accepted: look at its name, its dates and its authority with `openssl s_client -showcerts`; http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE names the trusted authorities."
            }
            Self::NothingInCommon => {
                "This side and the server have no TLS in common: have the server offer TLS 1.2 or 1.3 with current ciphers and a certificate with a key of RSA 2048, P-256 or P-384. A server that requires a client certificate (http.sslCert) may refuse so too."
            }
            Self::NotTls => {
                "The server does not speak TLS on this port: check the port of the URL, and whether it should begin with http://."
            }
            Self::ClientRefused => {
                "The server did not accept the client certificate: check that http.sslCert and http.sslKey are set, in date, and signed by an authority that the server trusts."
            }
            Self::ClientKeyEncrypted => {
                "The key of the client certificate is encrypted: store it without a passphrase, or set http.sslCertPasswordProtected to true and a credential helper that knows the passphrase."
            }
            Self::ClientKeyUnsupported => {
                "The native TLS does not know this kind of key: use a client certificate with a key of RSA 2048, P-256 or P-384."
            }
            Self::ClientUnusable => {
                "The client certificate cannot be used: check the files of http.sslCert and http.sslKey, that they belong together, and that the key is not encrypted."
            }
            Self::TrustUnusable => {
                "The trusted certificates cannot be used: check the file of http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE, which has to hold certificates in PEM."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Failure;
    use super::*;

    /// What git 2.47 says through curl with OpenSSL, `GnuTLS` and Schannel, behind `unable to access`.
    const SAID: &[(&str, Option<TlsFault>)] = &[
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
    fn what_git_says_of_a_certificate_is_told_apart_and_hinted_at() {
        for &(said, fault) in SAID {
            let stderr = format!("fatal: unable to access 'https://h/r.git/': {said}\n");
            let failure = Failure::from_git("git ls-remote", &stderr);
            assert_eq!(failure.tls_fault(), fault, "{said}");
            let expected = fault.map_or(Kind::Network, TlsFault::kind);
            assert_eq!(failure.kind(), expected, "{said}");
            let hint = fault.map_or(Kind::Network.hint(), TlsFault::hint);
            assert_eq!(failure.hint(), hint, "{said}");
        }
    }

    #[test]
    fn the_words_of_a_hook_or_a_url_are_no_fault_of_this_connection() {
        for said in [
            "remote: SSL certificate problem: certificate has expired",
            "fatal: unable to access 'https://h/certificate%20expired/': Could not resolve host: h",
            "error: certificate has expired",
        ] {
            assert_eq!(TlsFault::in_words(said), None, "{said}");
        }
    }
}
