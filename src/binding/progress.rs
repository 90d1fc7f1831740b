//! Progress, and the end of a restore, as they cross to JavaScript.

use std::time::Duration;

use napi_derive::napi;

use push_engine::restore::{RestoreError, RestoreProgress, Restored};
use push_engine::transfer::{TransferPhase, TransferProgress};

use super::shapes::{NativeEvent, hex, ms, number, whole_ms};

/// How far the push under way has come.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct NativeProgress {
    pub phase: &'static str,
    pub commit: Option<String>,
    pub objects: f64,
    pub total_objects: Option<f64>,
    pub bytes: f64,
    pub total_bytes: Option<f64>,
    pub bytes_per_second: Option<f64>,
    pub step: u32,
    pub steps: u32,
    pub server_message: Option<String>,
    pub elapsed_ms: f64,
    pub remaining_ms: Option<f64>,
}

impl From<&TransferProgress> for NativeProgress {
    fn from(progress: &TransferProgress) -> Self {
        let state = &progress.state;
        let is_whole = state.phase == TransferPhase::Server;
        Self {
            phase: state.phase.as_str(),
            commit: hex(state.commit),
            objects: number(state.objects),
            total_objects: state.total_objects.map(number),
            bytes: number(state.bytes),
            total_bytes: is_whole.then(|| number(state.bytes)),
            bytes_per_second: progress.bytes_per_second.map(number),
            step: state.step,
            steps: state.steps,
            server_message: state.server.clone(),
            elapsed_ms: whole_ms(progress.elapsed),
            remaining_ms: progress.remaining.map(whole_ms),
        }
    }
}

impl From<RestoreProgress> for NativeEvent {
    fn from(progress: RestoreProgress) -> Self {
        let progress = NativeProgress {
            phase: progress.phase.as_str(),
            commit: None,
            objects: number(progress.objects),
            total_objects: progress.total_objects.map(number),
            bytes: number(progress.bytes),
            total_bytes: None,
            bytes_per_second: progress.bytes_per_second.map(number),
            step: 1,
            steps: 1,
            server_message: progress.server,
            elapsed_ms: whole_ms(progress.elapsed),
            remaining_ms: progress.remaining.map(whole_ms),
        };
        Self {
            name: "progress".to_owned(),
            progress: Some(progress),
            ..Self::default()
        }
    }
}

/// The end of a restore.
pub(super) fn end_of_restore(outcome: &Result<Restored, RestoreError>, duration: Duration) -> NativeEvent {
    let (name, commit, failure) = match outcome {
        Ok(restored) if restored.is_restored => ("restored", restored.commit, None),
        Ok(restored) => ("present", restored.commit, None),
        Err(RestoreError::NotTheRepository(failure)) => ("foreign", None, Some(failure)),
        Err(RestoreError::Failed(failure)) => ("failed", None, Some(failure)),
        Err(RestoreError::Aborted) => ("aborted", None, None),
    };
    NativeEvent {
        name: name.to_owned(),
        commit: hex(commit),
        duration_ms: Some(ms(duration)),
        failure: failure.map(Into::into),
        ..NativeEvent::default()
    }
}
