#include "actors/semantics/proposal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/semantics/names.hpp"
#include "messages/hash.hpp"

namespace drover::semantics {
namespace {

constexpr std::array<std::string_view, proposal_type_count> type_names = {
    "add_affordance", "adjust_risk",           "infer_fragility",      "add_object_category",       "add_semantic_tag",
    "add_skill_gate", "add_safety_constraint", "add_energy_heuristic", "update_object_relationship"};
constexpr std::array<std::string_view, 4> priority_names = {"critical", "high", "medium", "low"};
constexpr std::array<std::string_view, 6> source_names = {"real_log", "econ_signals", "sima2",
                                                          "vla",      "diffusion",    "seed"};
constexpr double limit_max = 1e6;

void write_ref(JsonText& out, const EvidenceRef& ref) {
  out.begin_object().field("episode", ref.episode).field("segment", ref.segment);
  out.field("start_s", ref.start_s).field("end_s", ref.end_s).end_object();
}

Result<EvidenceRef> read_ref(const nlohmann::json& from) {
  EvidenceRef ref;
  DROVER_ASSIGN(ref.episode, get_text(from, "episode"));
  DROVER_ASSIGN(ref.segment, get_text(from, "segment"));
  DROVER_ASSIGN(ref.start_s, get_number(from, "start_s"));
  DROVER_ASSIGN(ref.end_s, get_number(from, "end_s"));
  return ref;
}

std::string value_text(const Value& value) {
  JsonText out;
  append_value(out, value);
  return std::move(out).text();
}

Status needs_term(const Vocabulary& vocabulary, TermKind kind, const char* field, const std::string& word) {
  const TermId id = vocabulary.find(kind, word);
  if (id && vocabulary.name(id) == word) return {};
  return fail(Errc::not_found, field,
              fmt::format("\"{}\" is not a term of kind {}", clean_text(word, 64), term_kind_name(kind)));
}

Status needs_number(const Proposal& p, double min, double max) {
  const double* number = std::get_if<double>(&p.value);
  if (number == nullptr || !(*number >= min && *number <= max))
    return fail(Errc::invalid_argument, "value", fmt::format("must be a number from {} to {}", min, max));
  return {};
}

Status validate_recovered_by(const Proposal& p, const Vocabulary& v) {
  const size_t slash = p.target.find('/');
  if (slash == std::string::npos) return fail(Errc::invalid_argument, "target", "must be object/failure");
  DROVER_TRY(needs_term(v, TermKind::object, "target", p.target.substr(0, slash)));
  DROVER_TRY(needs_term(v, TermKind::failure, "target", p.target.substr(slash + 1)));
  return needs_term(v, TermKind::recovery, "other", p.other);
}

Status validate_content(const Proposal& p, const Vocabulary& v) {
  const bool about_object = p.type != ProposalType::add_object_category && p.name != "recovered_by";
  if (about_object) DROVER_TRY(needs_term(v, TermKind::object, "target", p.target));
  switch (p.type) {
    case ProposalType::add_affordance:
      return needs_term(v, TermKind::affordance, "name", p.name);
    case ProposalType::adjust_risk:
      return needs_number(p, 0, 1);
    case ProposalType::infer_fragility:
      DROVER_TRY(needs_term(v, TermKind::failure, "name", p.name));
      return needs_number(p, 0, 1);
    case ProposalType::add_object_category:
      return needs_term(v, TermKind::object, "name", p.name);
    case ProposalType::add_semantic_tag:
      return needs_term(v, TermKind::tag, "name", p.name);
    case ProposalType::add_skill_gate:
      DROVER_TRY(needs_term(v, TermKind::action, "name", p.name));
      return needs_number(p, 0, 1);
    case ProposalType::add_safety_constraint:
      DROVER_TRY(needs_term(v, TermKind::constraint, "name", p.name));
      return needs_number(p, 0, limit_max);
    case ProposalType::add_energy_heuristic:
      DROVER_TRY(needs_term(v, TermKind::action, "name", p.name));
      return needs_number(p, 0, limit_max);
    case ProposalType::update_object_relationship:
      DROVER_TRY(needs_term(v, TermKind::relation, "name", p.name));
      if (p.name == "recovered_by") return validate_recovered_by(p, v);
      if (p.other == p.target) return fail(Errc::invalid_argument, "other", "a thing has no relation to itself");
      return needs_term(v, TermKind::object, "other", p.other);
  }
  return fail(Errc::invalid_argument, "type", "unknown");
}

}  // namespace

std::string_view proposal_type_name(ProposalType type) noexcept {
  return enum_name(type_names, type);
}
std::string_view priority_name(Priority priority) noexcept {
  return enum_name(priority_names, priority);
}
std::string_view source_name(Source source) noexcept {
  return enum_name(source_names, source);
}
std::optional<Source> source_from_name(std::string_view name) noexcept {
  return enum_from<Source>(source_names, name);
}

void EvidenceTrail::add(std::string_view episode, std::string_view segment, double start_s, double end_s) {
  ++count_;
  if (first_.size() < first_max) {
    first_.push_back({std::string(episode), std::string(segment), start_s, end_s});
    return;
  }
  if (last_.size() < last_max) last_.resize(last_.size() + 1);
  EvidenceRef& slot = last_[ring_ % last_max];  // its strings keep their capacity
  slot.episode.assign(episode);
  slot.segment.assign(segment);
  slot.start_s = start_s;
  slot.end_s = end_s;
  ++ring_;
}

void EvidenceTrail::merge(const EvidenceTrail& later) {
  // One act that two have told of (who saw a loop, and who counts) was seen once.
  const auto holds = [](const EvidenceTrail& trail, const EvidenceRef& ref) {
    return std::find(trail.first_.begin(), trail.first_.end(), ref) != trail.first_.end() ||
           std::find(trail.last_.begin(), trail.last_.end(), ref) != trail.last_.end();
  };
  if (later.count_ == 1 && holds(*this, later.first_.front())) return;
  if (count_ == 1 && holds(later, first_.front())) {
    *this = later;
    return;
  }
  const uint64_t total = count_ + later.count_;
  for (const EvidenceRef& ref : later.first_) add(ref);
  for (const EvidenceRef& ref : later.last()) add(ref);
  count_ = total;
}

std::vector<EvidenceRef> EvidenceTrail::last() const {
  std::vector<EvidenceRef> out;
  const uint64_t oldest = ring_ - last_.size();
  for (uint64_t i = oldest; i < ring_; ++i) out.push_back(last_[i % last_max]);
  return out;
}

bool EvidenceTrail::operator==(const EvidenceTrail& other) const {
  return count_ == other.count_ && first_ == other.first_ && last() == other.last();
}

void EvidenceTrail::write(JsonText& out) const {
  out.begin_object().field("count", count_).key("first").begin_array();
  for (const EvidenceRef& ref : first_) write_ref(out, ref);
  out.end_array().key("last").begin_array();
  for (const EvidenceRef& ref : last()) write_ref(out, ref);
  out.end_array().end_object();
}

Result<EvidenceTrail> EvidenceTrail::read(const nlohmann::json& from) {
  EvidenceTrail out;
  DROVER_ASSIGN(const uint64_t count, get_count(from, "count"));
  DROVER_ASSIGN(const nlohmann::json* first, get_list(from, "first"));
  DROVER_ASSIGN(const nlohmann::json* last, get_list(from, "last"));
  if (first->size() > first_max || last->size() > last_max || count < first->size() + last->size())
    return bad_state("evidence", "the counts do not agree");
  for (const nlohmann::json* list : {first, last}) {
    for (const nlohmann::json& item : *list) {
      DROVER_ASSIGN(const EvidenceRef ref, read_ref(item));
      out.add(ref);
    }
  }
  out.count_ = count;
  return out;
}

void append_value(JsonText& out, const Value& value) {
  if (const double* number = std::get_if<double>(&value))
    out.value(*number);
  else if (const std::string* text = std::get_if<std::string>(&value))
    out.value(*text);
  else
    out.raw("null");
}

std::string Proposal::fact_key() const {
  return fmt::format("{}|{}|{}|{}", proposal_type_name(type), target, name, other);
}

std::string Proposal::id() const {
  const std::string all =
      fmt::format("{}|{}|{}|{}|{}", fact_key(), value_text(value), source_name(source), source_tag, confidence);
  return fmt::format("p-{:016x}", checksum64(as_bytes(all)));
}

Status validate(const Proposal& p, const Vocabulary& vocabulary) {
  if (!(p.confidence >= 0 && p.confidence <= 1))
    return fail(Errc::invalid_argument, "confidence", "must be from 0 to 1");
  if (const double* number = std::get_if<double>(&p.value); number != nullptr && !std::isfinite(*number))
    return fail(Errc::invalid_argument, "value", "is not finite");
  if (p.source == Source::seed) return fail(Errc::invalid_argument, "source", "seed facts come with the program");
  return validate_content(p, vocabulary);
}

bool outranks(const Proposal& a, const Proposal& b) {
  if (a.source != b.source) return a.source < b.source;
  if (a.confidence != b.confidence) return a.confidence > b.confidence;
  return a.id() < b.id();
}

Reconciled reconcile(std::vector<Proposal> proposals) {
  std::map<std::string, std::vector<Proposal>> by_fact;
  for (Proposal& p : proposals) by_fact[p.fact_key()].push_back(std::move(p));
  Reconciled out;
  for (auto& [key, rivals] : by_fact) {
    std::stable_sort(rivals.begin(), rivals.end(), outranks);
    Proposal winner = std::move(rivals.front());
    const std::string id = winner.id();
    for (size_t i = 1; i < rivals.size(); ++i) {
      if (rivals[i].value == winner.value)
        winner.evidence.merge(rivals[i].evidence);
      else
        out.outranked.emplace_back(std::move(rivals[i]), id);
    }
    out.standing.push_back(std::move(winner));
  }
  const auto before = [](const Proposal& a, const Proposal& b) {
    if (a.priority != b.priority) return a.priority < b.priority;
    if (a.source != b.source) return a.source < b.source;
    return a.id() < b.id();
  };
  std::sort(out.standing.begin(), out.standing.end(), before);
  return out;
}

void write(JsonText& out, const Proposal& p) {
  out.begin_object().field("id", p.id()).field("type", proposal_type_name(p.type)).field("target", p.target);
  out.field("name", p.name).field("other", p.other).key("value");
  append_value(out, p.value);
  out.field("priority", priority_name(p.priority)).field("source", source_name(p.source));
  out.field("confidence", p.confidence).field("source_tag", p.source_tag).field("rationale", p.rationale);
  out.key("evidence");
  p.evidence.write(out);
  out.end_object();
}

}  // namespace drover::semantics
