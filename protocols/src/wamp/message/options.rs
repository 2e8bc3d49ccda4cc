//! The options and details of messages: the keys that a router reads or writes.
//!
//! *Spec.* WAMP §Basic Profile and §Advanced Profile, where each message is defined. A key that is
//! not there is `None`; what that means is said at the key.

use super::entry::{Choice, Entries, Entry, Shard, Word, entries, words};
use super::private::Private;
use super::roles::Roles;
use crate::text::Text;
use crate::wamp::envelope::Value;
use crate::wamp::id::Id;
use crate::wamp::payload::Dictionary;
use crate::wamp::serializer::{Limits, Scalar, Writer};
use crate::wamp::transcode::TranscodeError;

words! {
    /// How a topic or procedure is matched (§Pattern-based Subscription).
    MatchPolicy {
        /// It is the URI. The default.
        Exact = "exact",
        /// It is what the URI starts with.
        Prefix = "prefix",
        /// Its empty components stand for any one component.
        Wildcard = "wildcard",
    }

    /// Which callee gets a call (§Shared Registration).
    InvokePolicy {
        /// The only one. The default.
        Single = "single",
        /// Each in turn.
        RoundRobin = "roundrobin",
        /// Any.
        Random = "random",
        /// The one that registered first.
        First = "first",
        /// The one that registered last.
        Last = "last",
    }

    /// What becomes of a call that is canceled (§Call Canceling).
    CancelMode {
        /// The callee goes on, and its result is dropped.
        Skip = "skip",
        /// The callee is interrupted, and its answer awaited.
        Kill = "kill",
        /// The callee is interrupted, and the caller gets its ERROR at once. The default.
        KillNoWait = "killnowait",
    }
}

entries! {
    /// `HELLO.Details`.
    HelloDetails {
        /// What the client is, and can do. Mandatory, which the session checks.
        "roles" roles: Roles,
        /// The client's name and version.
        "agent" agent: Text,
        /// How the client can authenticate itself, the best first.
        "authmethods" authmethods: Vec<Text>,
        /// Who it wants to be.
        "authid" authid: Text,
        /// As which it wants to be seen.
        "authrole" authrole: Text,
        /// What its methods of authentication need.
        "authextra" authextra: Dictionary,
    }

    /// `WELCOME.Details`.
    WelcomeDetails {
        /// What the router is, and can do.
        "roles" roles: Roles,
        /// The router's name and version.
        "agent" agent: Text,
        /// The realm, if the client named none.
        "realm" realm: Text,
        /// Who the client is.
        "authid" authid: Text,
        /// As which it is seen.
        "authrole" authrole: Text,
        /// How that was found out.
        "authmethod" authmethod: Text,
        /// Where.
        "authprovider" authprovider: Text,
        /// What the method of authentication says at last.
        "authextra" authextra: Dictionary,
    }

    /// `CHALLENGE.Extra` of `wampcra`.
    ChallengeExtra {
        /// What is to be signed.
        "challenge" challenge: Text,
        /// How the secret is made of a password, if it is: the salt of PBKDF2.
        "salt" salt: Text,
        /// Bytes that it makes.
        "keylen" keylen: u64,
        /// Its rounds.
        "iterations" iterations: u64,
    }

    /// `ABORT.Details` and `GOODBYE.Details`.
    CloseDetails {
        /// The reason as a sentence.
        "message" message: Text,
    }

    /// How the payload is to be understood, if the router is not to (§Payload Passthru Mode).
    Passthru {
        /// Who defines the other keys.
        "ppt_scheme" ppt_scheme: Text,
        /// What the payload is written in.
        "ppt_serializer" ppt_serializer: Text,
        /// How it is encrypted.
        "ppt_cipher" ppt_cipher: Text,
        /// With which key.
        "ppt_keyid" ppt_keyid: Text,
    }

    /// `ERROR.Details`.
    ErrorDetails {
        .. /// `ppt_…`
        passthru: Passthru,
    }

    /// `PUBLISH.Options`.
    PublishOptions {
        /// Whether the router answers. Default false.
        "acknowledge" acknowledge: bool,
        /// Whether the publisher gets no event of it. Default true.
        "exclude_me" exclude_me: bool,
        /// Sessions that do not get it.
        "exclude" exclude: Vec<Id>,
        /// Those of these users neither.
        "exclude_authid" exclude_authid: Vec<Text>,
        /// Those in these roles neither.
        "exclude_authrole" exclude_authrole: Vec<Text>,
        /// The only sessions that do get it.
        "eligible" eligible: Vec<Id>,
        /// The only users.
        "eligible_authid" eligible_authid: Vec<Text>,
        /// The only roles.
        "eligible_authrole" eligible_authrole: Vec<Text>,
        /// Whether subscribers learn who published. Default false.
        "disclose_me" disclose_me: bool,
        /// Whether later subscribers get it. Default false.
        "retain" retain: bool,
        /// Which of the subscribers that share the work gets it.
        "rkey" rkey: Shard,
        .. /// `ppt_…`
        passthru: Passthru,
        _ /// `_…`
        private: Private,
    }

    /// `SUBSCRIBE.Options`.
    SubscribeOptions {
        /// How topics are matched. Default exact.
        "match" match_policy: Choice<MatchPolicy>,
        /// Whether events that were retained come first. Default false.
        "get_retained" get_retained: bool,
        /// The subscriber's place among those that share the work.
        "nkey" nkey: Shard,
        _ /// `_…`
        private: Private,
    }

    /// `EVENT.Details`.
    EventDetails {
        /// The topic; always there if the subscription is a pattern.
        "topic" topic: Text,
        /// The session that published, if it is disclosed.
        "publisher" publisher: Id,
        /// Its user.
        "publisher_authid" publisher_authid: Text,
        /// Its role.
        "publisher_authrole" publisher_authrole: Text,
        /// How far the publisher is trusted.
        "trustlevel" trustlevel: u64,
        /// Whether it was published before the subscription. Default false.
        "retained" retained: bool,
        .. /// `ppt_…`
        passthru: Passthru,
    }

    /// `UNSUBSCRIBED.Details`: the router ended a subscription (§Subscription Revocation).
    UnsubscribedDetails {
        /// Which.
        "subscription" subscription: Id,
        /// Why, as a URI.
        "reason" reason: Text,
    }

    /// `REGISTER.Options`.
    RegisterOptions {
        /// How procedures are matched. Default exact.
        "match" match_policy: Choice<MatchPolicy>,
        /// Which callee gets a call. Default single.
        "invoke" invoke: Choice<InvokePolicy>,
        /// Whether callers are to be disclosed. Default false.
        "disclose_caller" disclose_caller: bool,
        /// Whether the callee is told of timeouts, and keeps them. Default false.
        "forward_timeout" forward_timeout: bool,
        /// Calls that the callee takes at once. Not of the specification.
        "concurrency" concurrency: u64,
        /// Whether it takes the place of another callee. Not of the specification.
        "force_reregister" force_reregister: bool,
        _ /// `_…`
        private: Private,
    }

    /// `UNREGISTERED.Details`: the router ended a registration (§Registration Revocation).
    UnregisteredDetails {
        /// Which.
        "registration" registration: Id,
        /// Why, as a URI.
        "reason" reason: Text,
    }

    /// `CALL.Options`.
    CallOptions {
        /// After how many milliseconds the call fails. Default, and 0: the router's.
        "timeout" timeout: u64,
        /// Whether the caller takes results in parts. Default false.
        "receive_progress" receive_progress: bool,
        /// Whether more CALLs with the same ID follow. Default false.
        "progress" progress: bool,
        /// Whether the callee learns who called. Default false.
        "disclose_me" disclose_me: bool,
        /// Which of the callees that share the work gets it.
        "rkey" rkey: Shard,
        /// Whether one of the callees is called, or all are.
        "runmode" runmode: Shard,
        .. /// `ppt_…`
        passthru: Passthru,
        _ /// `_…`
        private: Private,
    }

    /// `INVOCATION.Details`.
    InvocationDetails {
        /// The procedure; always there if the registration is a pattern.
        "procedure" procedure: Text,
        /// The session that called, if it is disclosed.
        "caller" caller: Id,
        /// Its user.
        "caller_authid" caller_authid: Text,
        /// Its role.
        "caller_authrole" caller_authrole: Text,
        /// Whether the caller takes results in parts. Default false.
        "receive_progress" receive_progress: bool,
        /// Whether more INVOCATIONs with the same ID follow. Default false.
        "progress" progress: bool,
        /// After how many milliseconds the callee gives up.
        "timeout" timeout: u64,
        /// How far the caller is trusted.
        "trustlevel" trustlevel: u64,
        .. /// `ppt_…`
        passthru: Passthru,
    }

    /// `YIELD.Options`.
    YieldOptions {
        /// Whether more of the result follows. Default false.
        "progress" progress: bool,
        .. /// `ppt_…`
        passthru: Passthru,
        _ /// `_…`
        private: Private,
    }

    /// `RESULT.Details`.
    ResultDetails {
        /// Whether more of the result follows. Default false.
        "progress" progress: bool,
        .. /// `ppt_…`
        passthru: Passthru,
    }

    /// `CANCEL.Options` and `INTERRUPT.Options`.
    CancelOptions {
        /// What becomes of the call. Default killnowait.
        "mode" mode: Choice<CancelMode>,
        /// Why, as a URI. In INTERRUPT.
        "reason" reason: Text,
    }
}
