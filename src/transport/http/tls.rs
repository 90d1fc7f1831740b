//! Whom a TLS connection trusts, and what it shows of itself.

use std::fmt;
use std::fs;
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
    /// What the system trusts.
    Platform,
    /// What these files trust.
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

/// A certificate of our own, with its key.
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

/// A path, which differs from itself once what is there has been replaced.
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
    /// Reads the files. To be called on a thread that may block.
    pub(super) fn load(&self) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::load(&self.trust, provider.signature_verification_algorithms)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::new(Kind::Local, format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(Identity { certificate, key }) => {
                let unreadable = |setting: &str, path: &Path, error: &dyn fmt::Display| {
                    let path = path.display();
                    Failure::new(Kind::Local, format!("{setting} {path} cannot be used: {error}"))
                        .with_hint(TlsFault::ClientUnusable.hint())
                };
                let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&certificate.path)
                    .and_then(Iterator::collect)
                    .map_err(|error| unreadable("http.sslCert", &certificate.path, &error))?;
                let private = PrivateKeyDer::from_pem_file(&key.path).map_err(|error| {
                    if is_encrypted(&key.path) {
                        let path = key.path.display();
                        let fault = TlsFault::ClientKeyEncrypted;
                        return Failure::from_tls(
                            fault,
                            format!("http.sslKey {path} cannot be used: {}", fault.problem()),
                        );
                    }
                    unreadable("http.sslKey", &key.path, &error)
                })?;
                let signer = ring::default_provider()
                    .key_provider
                    .load_private_key(private)
                    .map_err(|error| {
                        let failure = unreadable("http.sslKey", &key.path, &error);
                        Failure::from_tls(TlsFault::ClientKeyUnsupported, failure.message())
                    })?;
                let certified = CertifiedKey::new(chain, signer);
                // Any other error is about a certificate that only the server has to understand, such as one of
                // version 1.
                if let Err(error @ Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) =
                    certified.keys_match()
                {
                    return Err(unreadable("http.sslKey", &key.path, &error));
                }
                Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
            }
        }
    }
}

/// Whether a key has a passphrase, in the form of today or that of old.
fn is_encrypted(key: &Path) -> bool {
    fs::read_to_string(key).is_ok_and(|text| {
        text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
    })
}

/// rustls' own verification, with two differences. A server's certificate that is itself among the trusted ones
/// is accepted though it says that it is an authority's: `openssl req -x509` makes them so, and curl takes them. And
/// a system without any trusted certificates is told about.
#[derive(Debug)]
struct Verifier {
    rule: Rule,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
enum Rule {
    AcceptAnyone,
    NobodyIsTrusted,
    Check {
        webpki: Arc<WebPkiServerVerifier>,
        trusted: Vec<CertificateDer<'static>>,
    },
}

impl Verifier {
    fn load(trust: &Trust, algorithms: WebPkiSupportedAlgorithms) -> Result<Self, Failure> {
        let trusted = match trust {
            Trust::Anyone => {
                return Ok(Self {
                    rule: Rule::AcceptAnyone,
                    algorithms,
                });
            }
            Trust::Platform => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::debug!(%error, "a trusted certificate could not be read");
                }
                found.certs
            }
            Trust::Only { file, directories } => read_trusted(file.as_ref(), directories)?,
        };
        let mut roots = RootCertStore::empty();
        let (_, ignored) = roots.add_parsable_certificates(trusted.iter().cloned());
        if ignored > 0 {
            tracing::debug!(ignored, "trusted certificates that cannot be parsed");
        }
        let rule = if roots.is_empty() {
            Rule::NobodyIsTrusted
        } else {
            let provider = Arc::new(ring::default_provider());
            let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| Failure::new(Kind::Local, format!("TLS cannot be set up: {error}")))?;
            Rule::Check { webpki, trusted }
        };
        Ok(Self { rule, algorithms })
    }
}

fn read_trusted(
    file: Option<&Stamped>,
    directories: &[Stamped],
) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let mut trusted = Vec::new();
    if let Some(Stamped { path, .. }) = file {
        let mut found = rustls_native_certs::load_certs_from_paths(Some(path), None);
        let problem = found.errors.pop().map(|error| error.to_string());
        if let Some(problem) = problem.or_else(|| {
            found
                .certs
                .is_empty()
                .then(|| "it holds no certificate".to_owned())
        }) {
            let message = format!(
                "the trusted certificates in {} (http.sslCAInfo, GIT_SSL_CAINFO or SSL_CERT_FILE) cannot be used: {problem}",
                path.display()
            );
            // What is not there is there for nobody; another form of it may be one that git reads.
            return Err(if path.exists() {
                Failure::from_tls(TlsFault::TrustUnusable, message)
            } else {
                Failure::new(Kind::Local, message).with_hint(TlsFault::TrustUnusable.hint())
            });
        }
        trusted.append(&mut found.certs);
    }
    for Stamped { path, .. } in directories {
        let mut found = rustls_native_certs::load_certs_from_paths(None, Some(path));
        for error in &found.errors {
            tracing::debug!(%error, "a trusted certificate could not be read");
        }
        trusted.append(&mut found.certs);
    }
    Ok(trusted)
}

#[derive(Debug)]
struct NobodyIsTrusted;

impl fmt::Display for NobodyIsTrusted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("this system has no trusted certificates: install ca-certificates, or set SSL_CERT_FILE or http.sslCAInfo")
    }
}

impl std::error::Error for NobodyIsTrusted {}

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
            Rule::NobodyIsTrusted => {
                return Err(CertificateError::Other(OtherError(Arc::new(NobodyIsTrusted))).into());
            }
            Rule::Check { webpki, trusted } => (webpki, trusted),
        };
        let verified = webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // webpki looks at the dates before it looks at this, so only the name is left to be checked.
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
    // rustls names it by no variant of its own.
    matches!(error, Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) if cause.to_string() == "CaUsedAsEndEntity")
}
