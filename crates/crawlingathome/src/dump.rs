//! A worker as plain data, to be kept and loaded again.

use cah_protocol::{Piece, Shard, WorkerType};
use serde::{Deserialize, Serialize};

use crate::{ClientError, session::Session};

/// A Crawling@Home worker as the reference client dumps it (version 1.5.0), by its keys; what ours
/// keeps beside them is left out where it is not known.
///
/// It has the worker's secret: whoever has the dump is the worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// `HYBRID`, `CPU` or `GPU`.
    pub _type: String,
    /// The tracker's address.
    pub url: String,
    /// The worker's secret.
    pub token: String,
    /// Whom the work is counted for.
    pub nickname: String,
    /// Where the job's WAT file is, or for a GPU worker what was handed over; nothing without a job.
    #[serde(default)]
    pub shard: Option<String>,
    /// The first sample id of the job's chunk, a decimal number.
    #[serde(default)]
    pub start_id: Option<String>,
    /// The first sample id after the chunk.
    #[serde(default)]
    pub end_id: Option<String>,
    /// Which half of the WAT file.
    #[serde(default)]
    pub shard_piece: Option<u8>,
    /// Of workers that take whole WAT files.
    #[serde(default)]
    pub wat: Option<String>,
    /// Of the same.
    #[serde(default)]
    pub shards: Option<serde_json::Value>,
    /// The job's number; dumps of old have none, and it follows from the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The worker's name on pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Where results are brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_address: Option<String>,
    /// Seconds within which the tracker wants to hear from the worker while it holds a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u64>,
}

impl Dump {
    /// The worker of a session, without a job.
    pub(crate) fn of(
        session: &Session,
        worker_type: WorkerType,
        upload_address: Option<String>,
    ) -> Self {
        Self {
            _type: worker_type.to_string(),
            url: session.api.base().to_owned(),
            token: session.token.clone(),
            nickname: session.nickname.clone(),
            display_name: Some(session.display_name.clone()),
            heartbeat: Some(session.heartbeat.as_secs().max(1)),
            upload_address,
            ..Self::default()
        }
    }

    /// The same with a job.
    pub(crate) fn with(self, shard: &Shard) -> Self {
        Self {
            shard: Some(shard.url.clone()),
            start_id: Some(shard.start_id.to_string()),
            end_id: Some(shard.end_id.to_string()),
            shard_piece: Some(shard.piece.into()),
            number: Some(shard.number),
            ..self
        }
    }

    /// The type of the worker.
    ///
    /// # Errors
    /// [`ClientError::Dump`] for a type that there is not.
    pub fn worker_type(&self) -> Result<WorkerType, ClientError> {
        let unknown = |error: cah_protocol::UnknownWorkerType| ClientError::Dump(error.to_string());
        self._type.parse().map_err(unknown)
    }

    pub(crate) fn check_type(&self, wanted: WorkerType) -> Result<(), ClientError> {
        match self.worker_type()? {
            found if found == wanted => Ok(()),
            found => Err(ClientError::Dump(format!(
                "it is a {found} worker's, not a {wanted} worker's"
            ))),
        }
    }

    /// The job that the worker holds.
    ///
    /// # Errors
    /// [`ClientError::Dump`] for half a job.
    pub fn shard(&self) -> Result<Option<Shard>, ClientError> {
        let Some(url) = &self.shard else {
            return Ok(None);
        };
        let missing = |what: &str| ClientError::Dump(format!("its job has no {what}"));
        let id = |text: &Option<String>, what| {
            let id = text.as_ref().and_then(|text| text.parse::<u64>().ok());
            id.ok_or_else(|| missing(what))
        };
        let (start_id, end_id) = (id(&self.start_id, "start_id")?, id(&self.end_id, "end_id")?);
        let piece = self.shard_piece.ok_or_else(|| missing("shard_piece"))?;
        let piece = Piece::try_from(piece).map_err(|error| ClientError::Dump(error.to_string()))?;
        let chunk = end_id / cah_protocol::IDS_PER_CHUNK;
        let chunk = (chunk > 0)
            .then_some(chunk)
            .ok_or_else(|| missing("end_id"))?;
        Ok(Some(Shard {
            start_id,
            end_id,
            number: self
                .number
                .unwrap_or_else(|| Shard::of_chunk(chunk, piece, "").number),
            url: url.clone(),
            piece,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_OLD: &str = r#"{"_type": "HYBRID", "url": "http://t/", "token": "t", "nickname": "a",
        "shard": "http://h/x.wat.gz", "start_id": "3000000", "end_id": "4000000", "shard_piece": 1,
        "wat": null, "shards": null}"#;

    #[test]
    fn a_dump_of_old_has_its_job() {
        let dump: Dump = serde_json::from_str(OF_OLD).unwrap();
        let shard = Shard::of_chunk(4, Piece::Second, "http://h/x.wat.gz");
        assert_eq!(dump.shard().unwrap(), Some(shard));
        assert_eq!(dump.worker_type().unwrap(), WorkerType::Hybrid);
        assert!(dump.check_type(WorkerType::Gpu).is_err());
    }

    #[test]
    fn half_a_job_is_none() {
        let dump: Dump = serde_json::from_str(OF_OLD).unwrap();
        for broken in [
            Dump {
                end_id: None,
                ..dump.clone()
            },
            Dump {
                end_id: Some("7".into()),
                ..dump.clone()
            },
            Dump {
                start_id: Some("x".into()),
                ..dump.clone()
            },
            Dump {
                shard_piece: Some(2),
                ..dump.clone()
            },
            Dump {
                shard_piece: None,
                ..dump.clone()
            },
        ] {
            let error = broken.shard().unwrap_err();
            assert!(matches!(error, ClientError::Dump(_)), "{error}");
        }
        let without = Dump {
            shard: None,
            ..dump
        };
        assert_eq!(without.shard().unwrap(), None);
    }
}
