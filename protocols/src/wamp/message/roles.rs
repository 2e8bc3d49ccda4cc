//! What each end announces that it can do: roles, and the features of each.
//!
//! *Spec.* WAMP §Hello, §Welcome (`Details.roles`); §Feature Announcement. Roles and features that
//! are not known are ignored, and so is one whose flag is not `true`. Of a feature that the specification
//! spells in two ways, both are read and the first is written.

use super::entry::Entry;
use crate::wamp::envelope::Value;
use crate::wamp::serializer::{Limits, Scalar, Writer};
use crate::wamp::transcode::TranscodeError;

/// `roles|dict`: what an end can be, and what it can do as such.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles([Option<Features>; Role::ALL.len()]);

impl Roles {
    /// No role.
    pub const NONE: Self = Self([None; Role::ALL.len()]);

    /// The features that are announced for a role; `None` if the role is not.
    pub const fn features(&self, role: Role) -> Option<Features> {
        self.0[role as usize]
    }

    /// Whether the role is announced, and this feature for it.
    pub fn has(&self, role: Role, feature: Feature) -> bool {
        self.features(role).is_some_and(|features| features.has(feature))
    }

    /// These and one more role.
    #[must_use]
    pub const fn with(mut self, role: Role, features: Features) -> Self {
        self.0[role as usize] = Some(features);
        self
    }

    /// Whether no role is announced: a peer must have one.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    fn announced(&self) -> impl Iterator<Item = (Role, Features)> {
        Role::ALL.into_iter().filter_map(|role| Some((role, self.features(role)?)))
    }
}

/// What a peer or a router can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends PUBLISH.
    Publisher,
    /// Sends SUBSCRIBE.
    Subscriber,
    /// Sends CALL.
    Caller,
    /// Sends REGISTER.
    Callee,
    /// The router, for publishers and subscribers.
    Broker,
    /// The router, for callers and callees.
    Dealer,
}

impl Role {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Publisher, Self::Subscriber, Self::Caller, Self::Callee, Self::Broker, Self::Dealer];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
            Self::Caller => "caller",
            Self::Callee => "callee",
            Self::Broker => "broker",
            Self::Dealer => "dealer",
        }
    }
}

/// A set of features.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Features(u32);

impl Features {
    /// The basic profile.
    pub const NONE: Self = Self(0);

    /// These.
    pub const fn of(features: &[Feature]) -> Self {
        let mut set = Self::NONE;
        let mut at = 0;
        while at < features.len() {
            set.0 |= 1 << features[at] as u32;
            at += 1;
        }
        set
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether it is among them.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u32) != 0
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.iter().copied().filter(move |feature| self.has(*feature))
    }
}

macro_rules! features {
    ($($(#[$doc:meta])* $feature:ident = $name:literal $(| $alias:literal)?,)*) => {
        /// A feature of the advanced profile.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Feature {
            $($(#[$doc])* $feature,)*
        }

        impl Feature {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$feature),*];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$feature => $name,)*
                }
            }

            fn of_name(name: &str) -> Option<Self> {
                match name {
                    $($name $(| $alias)? => Some(Self::$feature),)*
                    _ => None,
                }
            }
        }
    };
}

features! {
    /// §Progressive Call Results
    ProgressiveCallResults = "progressive_call_results",
    /// §Progressive Call Invocations
    ProgressiveCallInvocations = "progressive_call_invocations",
    /// §Call Timeout
    CallTimeout = "call_timeout",
    /// §Call Canceling
    CallCanceling = "call_canceling" | "call_cancelling",
    /// §Caller Identification
    CallerIdentification = "caller_identification",
    /// §Call Trust Levels
    CallTrustlevels = "call_trustlevels",
    /// §Call Rerouting
    CallReroute = "call_reroute",
    /// §Registration Meta API
    RegistrationMetaApi = "registration_meta_api",
    /// §Pattern-based Registrations
    PatternBasedRegistration = "pattern_based_registration",
    /// §Shared Registration
    SharedRegistration = "shared_registration",
    /// §Sharded Registration
    ShardedRegistration = "sharded_registration",
    /// §Registration Revocation
    RegistrationRevocation = "registration_revocation",
    /// §Session Meta API
    SessionMetaApi = "session_meta_api",
    /// §Payload Passthru Mode
    PayloadPassthruMode = "payload_passthru_mode",
    /// §Subscriber Black- and Whitelisting
    SubscriberBlackwhiteListing = "subscriber_blackwhite_listing",
    /// §Publisher Exclusion
    PublisherExclusion = "publisher_exclusion",
    /// §Publisher Identification
    PublisherIdentification = "publisher_identification",
    /// §Publication Trust Levels
    PublicationTrustlevels = "publication_trustlevels",
    /// §Subscription Meta API
    SubscriptionMetaApi = "subscription_meta_api",
    /// §Pattern-based Subscription
    PatternBasedSubscription = "pattern_based_subscription",
    /// §Sharded Subscription
    ShardedSubscription = "sharded_subscription" | "shareded_subscriptions",
    /// §Subscription Revocation
    SubscriptionRevocation = "subscription_revocation",
    /// §Event History
    EventHistory = "event_history",
    /// §Event Retention
    EventRetention = "event_retention",
    /// §Testament
    TestamentMetaApi = "testament_meta_api",
}

impl Entry for Roles {
    const EXPECTED: &'static str = "a dictionary of roles, each a dictionary of features";

    fn read(value: Value<'_>) -> Option<Self> {
        let mut roles = Self::default();
        for (name, role) in value.dict()? {
            let Scalar::Text(name) = name.scalar() else {
                return None;
            };
            let known = Role::ALL.into_iter().find(|known| known.as_str() == name);
            if let Some(known) = known {
                roles = roles.with(known, read_features(role)?);
            }
        }
        Some(roles)
    }

    fn write(&self, writer: &mut Writer, _: &Limits) -> Result<(), TranscodeError> {
        writer.dict(self.announced().count());
        for (role, features) in self.announced() {
            writer.key(role.as_str());
            if features == Features::NONE {
                writer.dict(0);
            } else {
                writer.dict(1);
                writer.key("features");
                writer.dict(features.iter().count());
                for feature in features.iter() {
                    writer.key(feature.as_str());
                    writer.bool(true);
                }
                writer.end_dict();
            }
            writer.end_dict();
        }
        writer.end_dict();
        Ok(())
    }

    fn size(&self) -> usize {
        let size = |features: Features| {
            features.iter().map(|feature| feature.as_str().len() + 9).sum::<usize>()
        };
        4 + self.announced().map(|(_, features)| 32 + size(features)).sum::<usize>()
    }
}

/// The flags under `features` of a role.
fn read_features(role: Value<'_>) -> Option<Features> {
    let mut features = Features::NONE;
    for (key, value) in role.dict()? {
        if key.scalar() != Scalar::Text("features".into()) || value.scalar() == Scalar::Null {
            continue;
        }
        features = Features::NONE;
        for (name, flag) in value.dict()? {
            let Scalar::Text(name) = name.scalar() else {
                return None;
            };
            if let Some(known) = Feature::of_name(&name) {
                let bit = 1 << known as u32;
                let is_set = flag.scalar() == Scalar::Bool(true);
                features.0 = if is_set { features.0 | bit } else { features.0 & !bit };
            }
        }
    }
    Some(features)
}
