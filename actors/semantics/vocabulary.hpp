// Vocabulary: the one closed set of words that robots, co-agents, diffusion models and learners share.
//
// A word from outside is resolved: it is a term, or a known other way to say one, or it is refused by its name. What
// was resolved is a TermId: small, ordered by kind and name, equal on every node that holds the same file. Immutable
// after parsing; safe to read from any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages/result.hpp"

namespace drover::semantics {

// The kinds of words; a word may be a term of several kinds ("clear" the action is not "clear" the state).
enum class TermKind : uint8_t {
  action,      // what a segment shows: approach, grasp, pull ...
  object,      // drawer, handle, vase ...
  affordance,  // what can be done to an object: pullable ...
  constraint,  // what must hold: max_force, safety_stop ...
  relation,    // how two things relate: part_of, recovered_by ...
  failure,     // why something failed: grasp_slip, locked_joint ...
  recovery,    // what put it right: re_grasp, wiggle_pull ...
  tag,         // tags on things and datapacks: fragile, lucky ...
  task,        // task families
};
inline constexpr size_t term_kind_count = 9;

std::string_view term_kind_name(TermKind kind) noexcept;

// Index into Vocabulary::terms(); `none` where there is no term.
struct TermId {
  static constexpr uint16_t none_value = 0xFFFF;
  uint16_t value = none_value;
  explicit operator bool() const { return value != none_value; }
  auto operator<=>(const TermId&) const = default;
};

struct Term {
  TermKind kind = TermKind::action;
  std::string name;                   // snake_case
  std::vector<std::string> synonyms;  // other ways to say it, normalised, sorted
};

class Vocabulary {
 public:
  // Parses the TOML of configs/semantics/vocabulary.toml: one table per kind, `name = [synonyms]`; [affords] names the
  // affordance that a successful action shows; [correction] the kind of correction of each recovery.
  // Error: invalid_argument with every problem, each with file and line.
  static Result<Vocabulary> parse(std::string_view toml_text, const std::string& file);
  static Result<Vocabulary> load(const std::string& path);

  // The term that `said` means. Case, blanks and hyphens do not matter. Error: not_found, naming kind and word.
  Result<TermId> resolve(TermKind kind, std::string_view said) const;
  // The same without a message: none when it is no term.
  TermId find(TermKind kind, std::string_view said) const noexcept;

  const Term& term(TermId id) const;
  std::string_view name(TermId id) const { return id ? std::string_view(term(id).name) : std::string_view(); }
  const std::vector<Term>& terms() const { return terms_; }
  // What a successful action shows about its object, if anything.
  TermId affordance_of(TermId action) const;
  // "retry", "reposition", "clear" ...; empty for an unknown recovery.
  std::string_view correction_of(TermId recovery) const;

  // The published document: deterministic JSON, readable line by line.
  std::string json() const;
  // SHA-256 (hex) of json().
  const std::string& hash() const { return hash_; }

 private:
  friend class VocabularyReader;
  std::vector<Term> terms_;  // by kind, then name
  std::array<std::map<std::string, TermId, std::less<>>, term_kind_count> said_;
  std::map<TermId, TermId> affords_;
  std::map<TermId, std::string> corrections_;
  std::string hash_;
};

// Lower case, blanks and hyphens as underscores, outer ones removed. At most 64 bytes are looked at.
std::string normal_word(std::string_view said);

}  // namespace drover::semantics
