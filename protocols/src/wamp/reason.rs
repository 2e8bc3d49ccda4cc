//! The URIs that say why: in ABORT, GOODBYE and ERROR.
//!
//! *Spec.* WAMP §Predefined URIs, of the basic and the advanced profile. Where these have two
//! spellings of one thing, this is the one that is sent.

/// Something came that must not, or not now.
pub const PROTOCOL_VIOLATION: &str = "wamp.error.protocol_violation";
/// Something is longer than allowed.
pub const PAYLOAD_SIZE_EXCEEDED: &str = "wamp.error.payload_size_exceeded";
/// There is no realm of this name.
pub const NO_SUCH_REALM: &str = "wamp.error.no_such_realm";
/// The client may not have the role that it asks for.
pub const NO_SUCH_ROLE: &str = "wamp.error.no_such_role";
/// None of the methods that the client offers leads into the realm.
pub const NO_MATCHING_AUTH_METHOD: &str = "wamp.error.no_matching_auth_method";
/// The client offers to be nobody, and the realm wants somebody.
pub const AUTHENTICATION_REQUIRED: &str = "wamp.error.authentication_required";
/// The proof is wrong, or that of nobody.
pub const AUTHENTICATION_DENIED: &str = "wamp.error.authentication_denied";
/// Who the client is could not be found out.
pub const AUTHENTICATION_FAILED: &str = "wamp.error.authentication_failed";
/// The client is who it says, and may not do this.
pub const NOT_AUTHORIZED: &str = "wamp.error.not_authorized";
/// The URI is none, or is the protocol's own.
pub const INVALID_URI: &str = "wamp.error.invalid_uri";
/// An argument or option is beyond what can be done.
pub const INVALID_ARGUMENT: &str = "wamp.error.invalid_argument";
/// The arguments cannot be carried over to the serializer of who is to get them. Not of the
/// specification; other implementations have it.
pub const INVALID_PAYLOAD: &str = "wamp.error.invalid_payload";
/// The router does not allow this option.
pub const OPTION_NOT_ALLOWED: &str = "wamp.error.option_not_allowed";
/// The client may not disclose itself.
pub const DISCLOSE_ME_DISALLOWED: &str = "wamp.error.option_disallowed.disclose_me";
/// There is no such subscription.
pub const NO_SUCH_SUBSCRIPTION: &str = "wamp.error.no_such_subscription";
/// There is no such registration, or the client has none such.
pub const NO_SUCH_REGISTRATION: &str = "wamp.error.no_such_registration";
/// There is no such session in the realm.
pub const NO_SUCH_SESSION: &str = "wamp.error.no_such_session";
/// Nothing is registered that the call could be for.
pub const NO_SUCH_PROCEDURE: &str = "wamp.error.no_such_procedure";
/// Somebody has registered it already.
pub const PROCEDURE_ALREADY_EXISTS: &str = "wamp.error.procedure_already_exists";
/// There are callees, but none can take the call.
pub const NO_AVAILABLE_CALLEE: &str = "wamp.error.no_available_callee";
/// The call is over without a result: its caller has canceled it, or its callee has left.
pub const CANCELED: &str = "wamp.error.canceled";
/// It took too long.
pub const TIMEOUT: &str = "wamp.error.timeout";
/// What is behind the router, or the way to it, is lost.
pub const NETWORK_FAILURE: &str = "wamp.error.network_failure";
/// It cannot be done now.
pub const UNAVAILABLE: &str = "wamp.error.unavailable";
/// The router does not have this feature.
pub const FEATURE_NOT_SUPPORTED: &str = "wamp.error.feature_not_supported";
/// The answer to GOODBYE.
pub const GOODBYE_AND_OUT: &str = "wamp.close.goodbye_and_out";
/// Another session has ended this one, and said no other reason.
pub const KILLED: &str = "wamp.close.killed";
/// The router goes away.
pub const SYSTEM_SHUTDOWN: &str = "wamp.close.system_shutdown";
