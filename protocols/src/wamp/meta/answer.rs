//! [`Answer`]: what comes of a call to one of the protocol's own procedures.
//!
//! *Spec.* WAMP §Session Meta API, §Registration Meta API, §Subscription Meta API, of each procedure the
//! results.

use std::sync::Arc;

use super::details::{Details, session_size, write_session};
use crate::wamp::id::Id;
use crate::wamp::payload::Payload;
use crate::wamp::realm::Principal;
use crate::wamp::registry::Listing;
use crate::wamp::serializer::{Serializer, Writer};

/// The result of a procedure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done, which is all there is to say.
    Done,
    /// So many.
    Count(usize),
    /// These.
    Ids(Vec<Id>),
    /// These, if there are any; else null.
    Matching(Vec<Id>),
    /// This one, if there is one; else null.
    Found(Option<Id>),
    /// All of them, by how they match.
    Lists(Listing),
    /// Who a session is.
    Session(Arc<Principal>),
    /// What a registration or subscription is.
    Details(Details),
}

impl Answer {
    /// The arguments of RESULT.
    pub fn payload(&self, serializer: Serializer) -> Payload {
        if *self == Self::Done {
            return Payload::empty(serializer);
        }
        let mut writer = Writer::new(serializer, self.size());
        writer.list(1);
        match self {
            Self::Done => {}
            Self::Count(count) => writer.unsigned(*count as u64),
            Self::Ids(ids) => write_ids(ids, &mut writer),
            Self::Matching(ids) if ids.is_empty() => writer.null(),
            Self::Matching(ids) => write_ids(ids, &mut writer),
            Self::Found(None) => writer.null(),
            Self::Found(Some(id)) => writer.unsigned(id.get()),
            Self::Lists(Listing { exact, prefix, wildcard }) => {
                writer.dict(3);
                for (key, ids) in [("exact", exact), ("prefix", prefix), ("wildcard", wildcard)] {
                    writer.key(key);
                    write_ids(ids, &mut writer);
                }
                writer.end_dict();
            }
            Self::Session(principal) => write_session(principal, &mut writer),
            Self::Details(details) => details.write(&mut writer),
        }
        writer.end_list();
        Payload { serializer, args: Some(writer.finish()), kwargs: None }
    }

    /// Bytes that it takes, roughly.
    pub fn size(&self) -> usize {
        let ids = |ids: &[Id]| size_of_val(ids) * 2;
        16 + match self {
            Self::Done | Self::Count(_) | Self::Found(_) => 0,
            Self::Ids(these) | Self::Matching(these) => ids(these),
            Self::Lists(Listing { exact, prefix, wildcard }) => {
                64 + ids(exact) + ids(prefix) + ids(wildcard)
            }
            Self::Session(principal) => session_size(principal),
            Self::Details(details) => details.size(),
        }
    }
}

fn write_ids(ids: &[Id], writer: &mut Writer) {
    writer.list(ids.len());
    for id in ids {
        writer.unsigned(id.get());
    }
    writer.end_list();
}
