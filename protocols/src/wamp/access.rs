//! Who may do what in a realm: rules about URIs.
//!
//! The rules of a role are made into the [`Rights`] of one session when it is welcomed; every request
//! is then one pass over the few of them that concern its action.
//!
//! *Spec.* WAMP §Authorization: that a router may refuse an action with
//! `wamp.error.not_authorized`; what decides is left to it. §Caller Identification, §Publisher
//! Identification: whether a client is disclosed to others is the router's to allow.
//!
//! # How rules add up
//! What no rule allows is denied, and a rule that denies beats all that allow. A request for a pattern
//! is allowed if one rule allows all URIs that the pattern stands for and none denies any of them.

use super::message::MatchPolicy;
use super::realm::Principal;
use super::uri::{self, Pattern};
use crate::text::Text;

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// PUBLISH to a topic.
    Publish,
    /// SUBSCRIBE to a topic or a pattern of topics.
    Subscribe,
    /// CALL a procedure.
    Call,
    /// REGISTER a procedure or a pattern of procedures.
    Register,
}

/// A set of actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActionSet {
    /// PUBLISH is meant.
    pub publish: bool,
    /// SUBSCRIBE is meant.
    pub subscribe: bool,
    /// CALL is meant.
    pub call: bool,
    /// REGISTER is meant.
    pub register: bool,
}

impl ActionSet {
    /// Every action.
    pub const ALL: Self = Self { publish: true, subscribe: true, call: true, register: true };

    /// Whether it is among them.
    pub const fn has(self, action: Action) -> bool {
        match action {
            Action::Publish => self.publish,
            Action::Subscribe => self.subscribe,
            Action::Call => self.call,
            Action::Register => self.register,
        }
    }
}

/// Whether receivers learn who published or called. Ordered: of several rules the greatest counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disclosure {
    /// If the client wants it (`disclose_me`).
    #[default]
    Allow,
    /// Whatever the client wants.
    Always,
    /// Never: to want it is refused.
    Deny,
}

/// What becomes of the requests that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// They are carried out.
    Allow(Disclosure),
    /// They are refused, whatever other rules say.
    Deny,
}

/// One rule of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The URIs it is about. `{authid}` and `{authrole}` in it stand for those of the client.
    ///
    /// A prefix is one of characters: it should end with a dot behind `{authid}`, or it is about those
    /// whose names begin alike, too.
    pub uris: Pattern,
    /// The actions it is about.
    pub actions: ActionSet,
    /// What it says.
    pub effect: Effect,
}

/// The rules of a role. Default: none, so that everything is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// In any order.
    pub rules: Vec<Rule>,
}

impl Access {
    /// The rules as they are for one client.
    ///
    /// A name that is not one component of a URI, such as one with dots, stands for nothing in a rule
    /// that allows: it could stand for what belongs to others. *Cost.* A copy of each rule, without its
    /// text unless names are put into it.
    pub fn of(&self, principal: &Principal) -> Rights {
        let rules = self.rules.iter().filter_map(|rule| {
            let uri = fill(rule, principal)?;
            Some(Rule { uris: Pattern { policy: rule.uris.policy, uri }, ..rule.clone() })
        });
        Rights(rules.collect())
    }
}

/// What one client may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights(Box<[Rule]>);

impl Rights {
    /// Whether the client may do this with one URI, and if so, whether it is disclosed.
    ///
    /// *Cost.* One pass over the rules.
    pub fn may(&self, action: Action, uri: &str) -> Option<Disclosure> {
        self.judge(action, |uris| uris.matches(uri), |uris| uris.matches(uri))
    }

    /// The same of all URIs that a pattern stands for.
    pub fn may_match(&self, action: Action, pattern: &Pattern) -> Option<Disclosure> {
        self.judge(action, |uris| uris.covers(pattern), |uris| uris.overlaps(pattern))
    }

    fn judge(
        &self,
        action: Action,
        covers: impl Fn(&Pattern) -> bool,
        overlaps: impl Fn(&Pattern) -> bool,
    ) -> Option<Disclosure> {
        let mut allowed = None;
        for rule in self.0.iter().filter(|rule| rule.actions.has(action)) {
            match rule.effect {
                Effect::Deny if overlaps(&rule.uris) => return None,
                Effect::Allow(disclosure) if covers(&rule.uris) => {
                    allowed = allowed.max(Some(disclosure));
                }
                Effect::Deny | Effect::Allow(_) => {}
            }
        }
        allowed
    }
}

/// The URI of a rule with the client's names in it; `None` if the rule is about nothing.
fn fill(rule: &Rule, principal: &Principal) -> Option<Text> {
    let names = [("{authid}", &principal.authid), ("{authrole}", &principal.authrole)];
    let mut filled = None::<String>;
    for (place, name) in names.into_iter().filter(|(place, _)| rule.uris.uri.contains(place)) {
        if rule.effect != Effect::Deny && !uri::is_component(name) {
            return None;
        }
        let uri = filled.as_deref().unwrap_or(&rule.uris.uri);
        filled = Some(uri.replace(place, name));
    }
    let Some(filled) = filled.map(Text::from) else { return Some(rule.uris.uri.clone()) };
    // Nobody gets what is the protocol's own by being called as that is.
    let is_reserved = |uri: Text| Pattern { uri, ..rule.uris.clone() }.may_be_reserved();
    let becomes_reserved = is_reserved(filled.clone()) && !is_reserved(rule.uris.uri.clone());
    (rule.effect == Effect::Deny || !becomes_reserved).then_some(filled)
}

impl Pattern {
    /// Whether it stands for all URIs that another one stands for.
    pub fn covers(&self, other: &Self) -> bool {
        match (self.policy, other.shape()) {
            (_, MatchPolicy::Exact) => self.matches(&other.uri),
            (MatchPolicy::Prefix, MatchPolicy::Prefix) => other.uri.starts_with(self.uri.as_str()),
            // What all of the wildcard's URIs begin with.
            (MatchPolicy::Prefix, MatchPolicy::Wildcard) => {
                let lead = if other.uri.starts_with('.') {
                    ""
                } else {
                    other.uri.find("..").map_or(other.uri.as_str(), |at| &other.uri[..=at])
                };
                lead.starts_with(self.uri.as_str())
            }
            (MatchPolicy::Wildcard, MatchPolicy::Wildcard) => {
                all_components(&self.uri, &other.uri, |own, its| own.is_empty() || own == its)
            }
            (MatchPolicy::Exact | MatchPolicy::Wildcard, _) => false,
        }
    }

    /// Whether there is a URI that both it and another one stand for.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.policy, other.policy) {
            (MatchPolicy::Exact, _) => other.matches(&self.uri),
            (_, MatchPolicy::Exact) => self.matches(&other.uri),
            (MatchPolicy::Prefix, MatchPolicy::Prefix) => {
                self.uri.starts_with(other.uri.as_str()) || other.uri.starts_with(self.uri.as_str())
            }
            (MatchPolicy::Prefix, MatchPolicy::Wildcard) => may_begin(&other.uri, &self.uri),
            (MatchPolicy::Wildcard, MatchPolicy::Prefix) => may_begin(&self.uri, &other.uri),
            (MatchPolicy::Wildcard, MatchPolicy::Wildcard) => {
                all_components(&self.uri, &other.uri, |own, its| {
                    own.is_empty() || its.is_empty() || own == its
                })
            }
        }
    }

    /// Its policy, and exact for a wildcard without an empty component.
    fn shape(&self) -> MatchPolicy {
        match self.policy {
            MatchPolicy::Wildcard if !self.uri.split('.').any(str::is_empty) => MatchPolicy::Exact,
            policy => policy,
        }
    }
}

/// Whether both have as many components, and each two of them fit.
fn all_components(a: &str, b: &str, fit: impl Fn(&str, &str) -> bool) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (Some(a), Some(b)) if fit(a, b) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Whether a URI of this wildcard may begin with this prefix.
fn may_begin(wildcard: &str, prefix: &str) -> bool {
    let (whole, last) = prefix.rsplit_once('.').map_or((None, prefix), |(w, l)| (Some(w), l));
    let mut components = wildcard.split('.');
    let is_whole = whole.into_iter().flat_map(|whole| whole.split('.')).all(|wanted| {
        let component = components.next();
        component.is_some_and(|it| it == wanted || it.is_empty()) && !wanted.is_empty()
    });
    let component = components.next();
    is_whole && component.is_some_and(|it| it.is_empty() || it.starts_with(last))
}

#[cfg(test)]
mod tests {
    use super::MatchPolicy::{Exact, Prefix, Wildcard};
    use super::*;
    use crate::wamp::id::Id;

    fn pattern(policy: MatchPolicy, uri: &str) -> Pattern {
        Pattern { policy, uri: Text::from(uri) }
    }

    fn rule(policy: MatchPolicy, uri: &str, effect: Effect) -> Rule {
        Rule { uris: pattern(policy, uri), actions: ActionSet::ALL, effect }
    }

    fn allow(policy: MatchPolicy, uri: &str) -> Rule {
        rule(policy, uri, Effect::Allow(Disclosure::Allow))
    }

    fn rights(authid: &str, rules: Vec<Rule>) -> Rights {
        let principal = Principal {
            session: Id::MIN,
            authid: Text::from(authid),
            authrole: Text::from_static("user"),
            authmethod: "ticket",
            authprovider: "static",
        };
        Access { rules }.of(&principal)
    }

    #[test]
    fn nobody_gets_what_is_the_protocols_own_by_a_name() {
        for (authid, uri) in
            [("wamp", "{authid}."), ("w", "{authid}"), ("wamp", "{authid}.session.")]
        {
            let is_allowed = |procedure| {
                rights(authid, vec![allow(Prefix, uri)]).may(Action::Call, procedure).is_some()
            };
            assert!(!is_allowed("wamp.session.kill_all"), "{authid} {uri}");
        }
        let own = rights("wampum", vec![allow(Prefix, "{authid}.")]);
        assert!(own.may(Action::Call, "wampum.a").is_some());
        // A rule that says so says so.
        let all = rights("wamp", vec![allow(Prefix, "wamp.{authid}")]);
        assert!(all.may(Action::Call, "wamp.wamp").is_some());
    }

    #[test]
    fn what_no_rule_allows_is_denied_and_deny_beats_allow() {
        assert_eq!(rights("ann", vec![]).may(Action::Call, "a.b"), None);
        let rules = vec![rule(Exact, "a.secret", Effect::Deny), allow(Prefix, "a.")];
        for rules in [rules.clone(), rules.into_iter().rev().collect()] {
            let rights = rights("ann", rules);
            assert_eq!(rights.may(Action::Publish, "a.b"), Some(Disclosure::Allow));
            assert_eq!(rights.may(Action::Publish, "a.secret"), None);
            assert_eq!(rights.may(Action::Publish, "b"), None);
        }
    }

    #[test]
    fn a_rule_is_about_its_actions_alone() {
        let actions = ActionSet { subscribe: true, ..ActionSet::default() };
        let rights = rights("ann", vec![Rule { actions, ..allow(Exact, "a") }]);
        assert_eq!(rights.may(Action::Subscribe, "a"), Some(Disclosure::Allow));
        for action in [Action::Publish, Action::Call, Action::Register] {
            assert_eq!(rights.may(action, "a"), None);
        }
    }

    #[test]
    fn the_strictest_disclosure_counts() {
        let disclosed = |disclosure| rule(Prefix, "a", Effect::Allow(disclosure));
        let (always, deny) = (disclosed(Disclosure::Always), disclosed(Disclosure::Deny));
        let both = vec![always.clone(), allow(Exact, "a")];
        assert_eq!(rights("ann", both).may(Action::Call, "a"), Some(Disclosure::Always));
        let both = vec![deny, always];
        assert_eq!(rights("ann", both).may(Action::Call, "a"), Some(Disclosure::Deny));
    }

    #[test]
    fn the_clients_names_stand_in_rules() {
        let rules = vec![allow(Prefix, "{authrole}.{authid}.")];
        let ann = rights("ann", rules.clone());
        assert_eq!(ann.may(Action::Call, "user.ann.x"), Some(Disclosure::Allow));
        assert_eq!(ann.may(Action::Call, "user.bob.x"), None);
        for name in ["a.b", "", "a b", "a#"] {
            let rights = rights(name, rules.clone());
            assert_eq!(rights.may(Action::Call, &format!("user.{name}.x")), None, "{name}");
        }
        let rules = vec![allow(Prefix, ""), rule(Prefix, "user.{authid}", Effect::Deny)];
        assert_eq!(rights("a.b", rules).may(Action::Call, "user.a.b.c"), None);
    }

    #[test]
    fn a_pattern_must_be_allowed_as_a_whole() {
        let rights = rights(
            "ann",
            vec![
                allow(Prefix, "a."),
                allow(Wildcard, "b..c"),
                rule(Wildcard, "a..x", Effect::Deny),
            ],
        );
        for (policy, uri, is_allowed) in [
            (Prefix, "a.b.c", true),
            (Prefix, "a.b.", false),
            (Prefix, "a.b.y", true),
            (Prefix, "a", false),
            (Wildcard, "a.b.", false),
            (Wildcard, "a.b.y", true),
            (Wildcard, "b..c", true),
            (Wildcard, "b..", false),
            (Exact, "a.b.y", true),
            (Exact, "a.b.x", false),
        ] {
            let may = rights.may_match(Action::Subscribe, &pattern(policy, uri));
            assert_eq!(may.is_some(), is_allowed, "{policy:?} {uri}");
        }
    }

    /// Over all short URIs: whatever is said of two patterns is what their URIs say, with the one
    /// exception that a prefix can stand for URIs longer than those.
    #[test]
    fn what_is_said_of_two_patterns_is_true_of_their_uris() {
        let words = ["", "a", "b", "ab"];
        let mut texts: Vec<String> = words.map(str::to_owned).into();
        for first in words {
            for second in words {
                texts.push(format!("{first}.{second}"));
                texts.extend(words.map(|third| format!("{first}.{second}.{third}")));
            }
        }
        let is_uri = |text: &&String| !text.split('.').any(str::is_empty);
        let mut uris: Vec<_> = texts.iter().filter(is_uri).cloned().collect();
        uris.extend(["abb", "abb.abb", "b.abb", "a.a.abb", "a.a.a.a"].map(str::to_owned));
        let patterns: Vec<_> = texts
            .iter()
            .flat_map(|text| [Exact, Prefix, Wildcard].map(|policy| pattern(policy, text)))
            .filter(|it| it.policy != Exact || is_uri(&&it.uri.to_string()))
            .collect();
        for a in &patterns {
            for b in &patterns {
                let both = uris.iter().any(|uri| a.matches(uri) && b.matches(uri));
                assert!(!both || a.overlaps(b), "{a:?} {b:?}");
                assert_eq!(a.overlaps(b), b.overlaps(a), "{a:?} {b:?}");
                let all = uris.iter().all(|uri| a.matches(uri) || !b.matches(uri));
                assert!(all || !a.covers(b), "{a:?} {b:?}");
            }
        }
    }
}
