//! Which servers a TLS connection trusts, and which certificate it shows.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, OtherError,
    RootCertStore, SignatureScheme,
};

use crate::failure::{Failure, Kind, TlsFault};

/// Everything that shapes a TLS connection. Equal settings mean equal contents of their files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TlsSettings {
    pub(super) trust: Trust,
    pub(super) identity: Option<Identity>,
}

/// Which certificates a server may have.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any: `http.sslVerify` is off.
    Anyone,
    /// Those that the system trusts.
    Platform,
    /// Those that these files trust.
    Only {
        file: Option<Stamped>,
        directories: Vec<Stamped>,
    },
}

impl Trust {
    pub(super) fn only(file: Option<PathBuf>, directories: Vec<PathBuf>) -> Self {
        Self::Only {
            file: file.map(Stamped::new),
            directories: directories.into_iter().map(Stamped::new).collect(),
        }
    }
}

/// The user's certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Identity {
    certificate: Stamped,
    key: Stamped,
}

impl Identity {
    pub(super) fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificate: Stamped::new(certificate),
            key: Stamped::new(key),
        }
    }
}

/// A path that differs from itself once its content has been replaced.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamped {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl Stamped {
    fn new(path: PathBuf) -> Self {
        let metadata = fs::metadata(&path).ok();
        let seen = metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len())));
        Self { path, seen }
    }
}

impl TlsSettings {
    /// Reads the files, which blocks.
    pub(super) fn load(&self) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier {
            rule: Rule::load(&self.trust)?,
            algorithms: provider.signature_verification_algorithms,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| impossible(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        Ok(match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let resolver = SingleCertAndKey::from(identity.load()?);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
        })
    }
}

fn impossible(error: &dyn fmt::Display) -> Failure {
    Failure::new(Kind::Local, format!("TLS cannot be set up: {error}"))
}

impl Identity {
    fn load(&self) -> Result<CertifiedKey, Failure> {
        let (certificate, key) = (&self.certificate.path, &self.key.path);
        let message = |setting: &str, path: &Path, error: &dyn fmt::Display| {
            format!("{setting} {} cannot be used: {error}", path.display())
        };
        let unusable = |setting, path, error: &dyn fmt::Display| {
            let failure = Failure::new(Kind::Local, message(setting, path, error));
            failure.with_hint(TlsFault::ClientUnusable.hint())
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| unusable("http.sslCert", certificate, &error))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
            if is_encrypted(key) {
                let fault = TlsFault::ClientKeyEncrypted;
                return Failure::from_tls(fault, message("http.sslKey", key, &fault.problem()));
            }
            unusable("http.sslKey", key, &error)
        })?;
        let keys = ring::default_provider().key_provider;
        let signer = keys.load_private_key(private).map_err(|error| {
            let fault = TlsFault::ClientKeyUnsupported;
            Failure::from_tls(fault, message("http.sslKey", key, &error))
        })?;
        let certified = CertifiedKey::new(chain, signer);
        // Other errors are about a certificate that only the server has to understand, such as one of version 1.
        match certified.keys_match() {
            Err(error @ Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(unusable("http.sslKey", key, &error))
            }
            _ => Ok(certified),
        }
    }
}

/// Whether a key has a passphrase, in the current form or the old one.
fn is_encrypted(key: &Path) -> bool {
    fs::read_to_string(key).is_ok_and(|text| {
        text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
    })
}

/// rustls' own verification with two differences. A server's certificate that is itself trusted is accepted though it says
/// that it is an authority's: `openssl req -x509` makes such certificates, and curl accepts them. And a system without any
/// trusted certificates is named as the cause.
#[derive(Debug)]
struct Verifier {
    rule: Rule,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Rule {
    AcceptAnyone,
    NothingIsTrusted,
    Check {
        webpki: Arc<WebPkiServerVerifier>,
        trusted: Vec<CertificateDer<'static>>,
    },
}

impl Rule {
    fn load(trust: &Trust) -> Result<Self, Failure> {
        let trusted = match trust {
            Trust::Anyone => return Ok(Self::AcceptAnyone),
            Trust::Platform => readable(rustls_native_certs::load_native_certs()),
            Trust::Only { file, directories } => {
                let mut trusted = match file {
                    Some(file) => read_file(&file.path)?,
                    None => Vec::new(),
                };
                for Stamped { path, .. } in directories {
                    trusted.extend(readable(rustls_native_certs::load_certs_from_paths(
                        None,
                        Some(path),
                    )));
                }
                trusted
            }
        };
        let mut roots = RootCertStore::empty();
        let (_, ignored) = roots.add_parsable_certificates(trusted.iter().cloned());
        if ignored > 0 {
            tracing::debug!(ignored, "trusted certificates that cannot be parsed");
        }
        if roots.is_empty() {
            return Ok(Self::NothingIsTrusted);
        }
        let provider = Arc::new(ring::default_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self::Check {
            webpki: webpki.map_err(|error| impossible(&error))?,
            trusted,
        })
    }
}

fn readable(found: rustls_native_certs::CertificateResult) -> Vec<CertificateDer<'static>> {
    for error in &found.errors {
        tracing::debug!(%error, "a trusted certificate could not be read");
    }
    found.certs
}

/// Reads the file that a setting names: nothing in it may be skipped.
fn read_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let mut found = rustls_native_certs::load_certs_from_paths(Some(path), None);
    let problem = match found.errors.pop() {
        Some(error) => error.to_string(),
        None if found.certs.is_empty() => "it holds no certificate".to_owned(),
        None => return Ok(found.certs),
    };
    let message = format!(
        "the trusted certificates in {} (http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE) cannot be used: {problem}",
        path.display()
    );
    // git may be able to read another form of a file, but not a missing one.
    Err(if path.exists() {
        Failure::from_tls(TlsFault::TrustUnusable, message)
    } else {
        Failure::new(Kind::Local, message).with_hint(TlsFault::TrustUnusable.hint())
    })
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (webpki, trusted) = match &self.rule {
            Rule::AcceptAnyone => return Ok(ServerCertVerified::assertion()),
            Rule::NothingIsTrusted => {
                let cause = io::Error::other(
                    "this system has no trusted certificates: install ca-certificates, or set SSL_CERT_FILE or http.sslCAInfo",
                );
                return Err(CertificateError::Other(OtherError(Arc::new(cause))).into());
            }
            Rule::Check { webpki, trusted } => (webpki, trusted),
        };
        let verified = webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // webpki checks the dates before this, so only the name is left to be checked.
            Err(error) if is_authority(&error) && trusted.contains(end_entity) => {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn is_authority(error: &Error) -> bool {
    // rustls has no variant for it.
    matches!(error, Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) if cause.to_string() == "CaUsedAsEndEntity")
}
