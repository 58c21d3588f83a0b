// Saving and reading back the counts of the update engine. Terms are written by name, so that a state outlives a
// vocabulary that only grew.
#include <fmt/format.h>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/semantics/update_engine.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.update_engine.v1";

void write_term(JsonText& out, const char* name, const Vocabulary& vocabulary, TermId id) {
  out.key(name);
  if (!id) {
    out.raw("null");
    return;
  }
  out.begin_array().value(term_kind_name(vocabulary.term(id).kind)).value(vocabulary.name(id)).end_array();
}

Result<TermId> read_term(const nlohmann::json& from, const char* name, const Vocabulary& vocabulary) {
  DROVER_ASSIGN(const nlohmann::json* node, get_node(from, name));
  if (node->is_null()) return TermId{};
  if (!node->is_array() || node->size() != 2 || !(*node)[0].is_string() || !(*node)[1].is_string())
    return bad_state(name, "must be [kind, term]");
  for (size_t i = 0; i < term_kind_count; ++i)
    if (term_kind_name(static_cast<TermKind>(i)) == (*node)[0].get<std::string>())
      return vocabulary.resolve(static_cast<TermKind>(i), (*node)[1].get<std::string>());
  return bad_state(name, "unknown kind of term");
}

Result<uint8_t> read_small(const nlohmann::json& from, const char* name, size_t below) {
  DROVER_ASSIGN(const uint64_t value, get_count(from, name));
  if (value >= below) return bad_state(name, "is out of range");
  return static_cast<uint8_t>(value);
}

Result<EvidenceTrail> read_trail(const nlohmann::json& from, const char* name) {
  DROVER_ASSIGN(const nlohmann::json* node, get_map(from, name));
  return EvidenceTrail::read(*node);
}

Result<Source> read_source(const nlohmann::json& from, const char* name) {
  DROVER_ASSIGN(const std::string text, get_text(from, name));
  const auto source = source_from_name(text);
  if (!source) return bad_state(name, "unknown source");
  return *source;
}

}  // namespace

void UpdateEngine::write_tracks(JsonText& out) const {
  out.key("tracks").begin_array();
  for (const auto& [key, t] : tracks_) {
    out.line().begin_object().field("kind", static_cast<unsigned>(key.kind));
    write_term(out, "object", *vocabulary_, key.object);
    out.field("detail", static_cast<unsigned>(key.detail));
    write_term(out, "term", *vocabulary_, key.term);
    out.field("count", t.count).field("attempts", t.attempts).field("sum", t.sum).field("least", t.least);
    out.field("best", source_name(t.best)).field("sent", source_name(t.sent)).field("sent_value", t.sent_value);
    out.field("sent_once", t.sent_once).field("due", due_.contains(key)).key("fresh");
    t.fresh.write(out);
    out.end_object();
  }
  out.end_array();
}

void UpdateEngine::write_skills(JsonText& out) const {
  out.key("skills").begin_array();
  for (const auto& [key, s] : skills_) {
    out.line().begin_object().field("family", static_cast<unsigned>(key.family));
    out.field("label", static_cast<unsigned>(key.label));
    write_term(out, "object", *vocabulary_, key.object);
    out.field("attempts", s.attempts).field("failures", s.failures).key("by_reason").begin_array();
    for (const uint64_t n : s.by_reason) out.value(n);
    out.end_array().field("energy_sum_Wh", s.energy_sum_Wh).field("energy_count", s.energy_count).key("failed");
    s.failed.write(out);
    out.end_object();
  }
  out.end_array();
}

std::string UpdateEngine::json() const {
  JsonText out;
  out.begin_object().field("format", format_name);
  write_tracks(out);
  write_skills(out);
  out.end_object();
  return std::move(out).text();
}

Result<UpdateEngine::Key> UpdateEngine::read_key(const nlohmann::json& item) const {
  Key key;
  DROVER_ASSIGN(const uint8_t kind, read_small(item, "kind", 9));
  key.kind = static_cast<Kind>(kind);
  DROVER_ASSIGN(key.object, read_term(item, "object", *vocabulary_));
  DROVER_ASSIGN(key.detail, read_small(item, "detail", std::max(label_count, reason_count)));
  DROVER_ASSIGN(key.term, read_term(item, "term", *vocabulary_));
  if (!key.object) return bad_state("object", "is missing");
  return key;
}

Status UpdateEngine::read_tracks(const nlohmann::json& root) {
  DROVER_ASSIGN(const nlohmann::json* tracks, get_list(root, "tracks"));
  for (const nlohmann::json& item : *tracks) {
    DROVER_ASSIGN(const Key key, read_key(item));
    Track t;
    DROVER_ASSIGN(t.count, get_count(item, "count"));
    DROVER_ASSIGN(t.attempts, get_count(item, "attempts"));
    DROVER_ASSIGN(t.sum, get_number(item, "sum"));
    DROVER_ASSIGN(t.least, get_number(item, "least"));
    DROVER_ASSIGN(t.best, read_source(item, "best"));
    DROVER_ASSIGN(t.sent, read_source(item, "sent"));
    DROVER_ASSIGN(t.sent_value, get_number(item, "sent_value"));
    DROVER_ASSIGN(t.sent_once, get_truth(item, "sent_once"));
    DROVER_ASSIGN(t.fresh, read_trail(item, "fresh"));
    DROVER_ASSIGN(const bool due, get_truth(item, "due"));
    if (due) due_.insert(key);
    tracks_[key] = std::move(t);
  }
  return {};
}

Status UpdateEngine::read_skills(const nlohmann::json& root) {
  DROVER_ASSIGN(const nlohmann::json* skills, get_list(root, "skills"));
  for (const nlohmann::json& item : *skills) {
    SkillKey key;
    SkillStats s;
    DROVER_ASSIGN(const uint8_t family, read_small(item, "family", family_count + 1));
    DROVER_ASSIGN(const uint8_t label, read_small(item, "label", label_count));
    key.family = static_cast<Family>(family);
    key.label = static_cast<Label>(label);
    DROVER_ASSIGN(key.object, read_term(item, "object", *vocabulary_));
    DROVER_ASSIGN(s.attempts, get_count(item, "attempts"));
    DROVER_ASSIGN(s.failures, get_count(item, "failures"));
    DROVER_ASSIGN(const nlohmann::json* reasons, get_list(item, "by_reason"));
    if (reasons->size() != reason_count) return bad_state("by_reason", "must hold one count per reason");
    for (size_t i = 0; i < reason_count; ++i) {
      if (!(*reasons)[i].is_number_unsigned()) return bad_state("by_reason", "must hold counts");
      s.by_reason[i] = (*reasons)[i].get<uint64_t>();
    }
    DROVER_ASSIGN(s.energy_sum_Wh, get_number(item, "energy_sum_Wh"));
    DROVER_ASSIGN(s.energy_count, get_count(item, "energy_count"));
    DROVER_ASSIGN(s.failed, read_trail(item, "failed"));
    skills_[key] = std::move(s);
  }
  return {};
}

Status UpdateEngine::restore(std::string_view json) {
  DROVER_ASSIGN(const nlohmann::json root, parse_state(json, format_name));
  UpdateEngine fresh(config_, *vocabulary_);
  DROVER_TRY(fresh.read_tracks(root));
  DROVER_TRY(fresh.read_skills(root));
  *this = std::move(fresh);
  return {};
}

}  // namespace drover::semantics
