#include "actors/semantics/ontology.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/semantics/names.hpp"
#include "actors/semantics/strict_toml.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.ontology.v1";
constexpr double default_risk = 0.3;
constexpr double same_value = 1e-9;
constexpr std::array<std::string_view, 6> kind_names = {"object",   "affordance", "constraint",
                                                        "relation", "fragility",  "recovery"};

NodeKind kind_of(const Proposal& p) {
  switch (p.type) {
    case ProposalType::add_affordance:
      return NodeKind::affordance;
    case ProposalType::infer_fragility:
      return NodeKind::fragility;
    case ProposalType::add_skill_gate:
    case ProposalType::add_safety_constraint:
    case ProposalType::add_energy_heuristic:
      return NodeKind::constraint;
    case ProposalType::update_object_relationship:
      return p.name == "recovered_by" ? NodeKind::recovery : NodeKind::relation;
    default:
      return NodeKind::object;
  }
}

bool equal_values(const Value& a, const Value& b) {
  const double* x = std::get_if<double>(&a);
  const double* y = std::get_if<double>(&b);
  if (x != nullptr && y != nullptr) return *x - *y < same_value && *y - *x < same_value;
  return a == b;
}

std::string value_json(const Value& value) {
  JsonText out;
  append_value(out, value);
  return std::move(out).text();
}

void write_node(JsonText& out, const OntologyNode& n) {
  out.begin_object().field("id", n.id).field("kind", node_kind_name(n.kind)).field("name", n.name);
  out.field("subject", n.subject).field("other", n.other).key("value");
  append_value(out, n.value);
  out.field("detail", n.detail).key("tags").begin_array();
  for (const std::string& tag : n.tags) out.value(tag);
  out.end_array().field("confidence", n.confidence).field("source", source_name(n.source));
  out.field("since_version", n.since_version).field("changed_version", n.changed_version);
  out.field("because", n.because).key("evidence");
  n.evidence.write(out);
  out.end_object();
}

Result<OntologyNode> read_node(const nlohmann::json& from) {
  OntologyNode n;
  DROVER_ASSIGN(n.id, get_text(from, "id"));
  DROVER_ASSIGN(const std::string kind, get_text(from, "kind"));
  DROVER_ASSIGN(const std::string source, get_text(from, "source"));
  const auto known_kind = enum_from<NodeKind>(kind_names, kind);
  const auto known_source = source_from_name(source);
  if (!known_kind || !known_source) return bad_state(n.id, "unknown kind or source");
  n.kind = *known_kind;
  n.source = *known_source;
  DROVER_ASSIGN(n.name, get_text(from, "name"));
  DROVER_ASSIGN(n.subject, get_text(from, "subject"));
  DROVER_ASSIGN(n.other, get_text(from, "other"));
  DROVER_ASSIGN(const nlohmann::json* value, get_node(from, "value"));
  if (value->is_number()) n.value = value->get<double>();
  if (value->is_string()) n.value = value->get<std::string>();
  DROVER_ASSIGN(n.detail, get_text(from, "detail"));
  DROVER_ASSIGN(n.tags, get_texts(from, "tags"));
  DROVER_ASSIGN(n.confidence, get_number(from, "confidence"));
  DROVER_ASSIGN(n.since_version, get_count(from, "since_version"));
  DROVER_ASSIGN(n.changed_version, get_count(from, "changed_version"));
  DROVER_ASSIGN(n.because, get_text(from, "because"));
  DROVER_ASSIGN(const nlohmann::json* evidence, get_map(from, "evidence"));
  DROVER_ASSIGN(n.evidence, EvidenceTrail::read(*evidence));
  return n;
}

// The seed file, read into the nodes of a store.
class SeedReader {
 public:
  SeedReader(const toml::table& root, const std::string& file, const Vocabulary& vocabulary)
      : problems_(file), top_(root, "", problems_), vocabulary_(vocabulary) {}

  Result<Ontology> read() {
    read_objects();
    read_list("affordance", TermKind::affordance);
    read_list("constraint", TermKind::constraint);
    read_list("relation", TermKind::relation);
    top_.finish();
    DROVER_TRY(problems_.status());
    return std::move(out_);
  }

 private:
  bool is_term(TermKind kind, const std::string& word) const {
    return vocabulary_.name(vocabulary_.find(kind, word)) == word;
  }

  void put(OntologyNode node) {
    node.confidence = 1;
    node.since_version = node.changed_version = 1;
    std::string id = node.id;
    out_.nodes.insert_or_assign(std::move(id), std::move(node));
  }

  void read_objects() {
    const toml::table* table = top_.table("object");
    if (table == nullptr) return;
    TomlTable objects(*table, "object.", problems_);
    for (const auto& [key, unused] : *table) {
      const std::string name(key.str());
      if (!is_term(TermKind::object, name)) objects.problem(name, "is not an object of the vocabulary");
      const toml::table* body = objects.table(name);
      if (body == nullptr) continue;
      TomlTable fields(*body, "object." + name + ".", problems_);
      double risk = default_risk;
      OntologyNode node;
      fields.number("risk", risk, 0, 1);
      fields.texts("tags", node.tags);
      fields.finish();
      std::sort(node.tags.begin(), node.tags.end());
      for (const std::string& tag : node.tags)
        if (!is_term(TermKind::tag, tag)) fields.problem("tags", "\"" + tag + "\" is not a tag of the vocabulary");
      node.id = object_id(name);
      node.name = name;
      node.value = risk;
      put(std::move(node));
    }
  }

  void read_list(std::string_view list_name, TermKind kind) {
    const toml::array* list = top_.array(list_name);
    if (list == nullptr) return;
    for (const toml::node& item : *list) {
      if (!item.is_table()) {
        problems_.add(&item, list_name, "must be a list of tables");
        continue;
      }
      TomlTable fields(*item.as_table(), std::string(list_name) + ".", problems_);
      Proposal p;
      std::string subject, other;
      double value = 0;
      const bool relation = kind == TermKind::relation;
      fields.text(relation ? "subject" : "object", subject, true);
      fields.text("name", p.name, true);
      if (relation) fields.text("object", other, true);
      if (kind == TermKind::constraint) fields.number("value", value, 0, 1e6);
      fields.finish();
      if (!is_term(kind, p.name)) fields.problem("name", "\"" + p.name + "\" is not a term of the vocabulary");
      if (out_.find(object_id(subject)) == nullptr || (relation && out_.find(object_id(other)) == nullptr))
        fields.problem(relation ? "subject" : "object", "is about an object that [object] does not list");
      p.target = subject;
      p.other = other;
      p.type = relation                       ? ProposalType::update_object_relationship
               : kind == TermKind::constraint ? ProposalType::add_safety_constraint
                                              : ProposalType::add_affordance;
      OntologyNode node;
      node.id = node_id_of(p);
      node.kind = kind_of(p);
      node.name = p.name;
      node.subject = object_id(subject);
      if (relation) node.other = object_id(other);
      if (kind == TermKind::constraint) node.value = value;
      put(std::move(node));
    }
  }

  TomlProblems problems_;
  TomlTable top_;
  const Vocabulary& vocabulary_;
  Ontology out_;
};

}  // namespace

std::string_view node_kind_name(NodeKind kind) noexcept {
  return enum_name(kind_names, kind);
}

std::string object_id(std::string_view object) {
  return fmt::format("object:{}", object);
}
std::string affordance_id(std::string_view object, std::string_view affordance) {
  return fmt::format("affordance:{}/{}", object, affordance);
}
std::string fragility_id(std::string_view object, std::string_view failure) {
  return fmt::format("fragility:{}/{}", object, failure);
}

std::string node_id_of(const Proposal& p) {
  switch (p.type) {
    case ProposalType::add_affordance:
      return affordance_id(p.target, p.name);
    case ProposalType::infer_fragility:
      return fragility_id(p.target, p.name);
    case ProposalType::add_skill_gate:
      return fmt::format("constraint:{}/skill_gate/{}", p.target, p.name);
    case ProposalType::add_safety_constraint:
      return fmt::format("constraint:{}/{}", p.target, p.name);
    case ProposalType::add_energy_heuristic:
      return fmt::format("constraint:{}/expected_Wh/{}", p.target, p.name);
    case ProposalType::update_object_relationship:
      return p.name == "recovered_by" ? fmt::format("recovery:{}/{}", p.target, p.other)
                                      : fmt::format("relation:{}/{}/{}", p.target, p.name, p.other);
    case ProposalType::add_object_category:
      return object_id(p.name);
    case ProposalType::adjust_risk:
    case ProposalType::add_semantic_tag:
      break;
  }
  return object_id(p.target);
}

const OntologyNode* Ontology::find(std::string_view id) const {
  const auto at = nodes.find(id);
  return at == nodes.end() ? nullptr : &at->second;
}

double Ontology::risk_of(std::string_view object) const {
  const OntologyNode* node = find(object_id(object));
  const double* risk = node == nullptr ? nullptr : std::get_if<double>(&node->value);
  return risk == nullptr ? default_risk : *risk;
}

bool Ontology::has_tag(std::string_view object, std::string_view tag) const {
  const OntologyNode* node = find(object_id(object));
  return node != nullptr && std::binary_search(node->tags.begin(), node->tags.end(), tag);
}

std::vector<std::string> Ontology::orphans() const {
  std::vector<std::string> out;
  for (const auto& [id, node] : nodes) {
    const bool hangs = node.kind == NodeKind::object || find(node.subject) != nullptr;
    if (!hangs || (node.kind == NodeKind::relation && find(node.other) == nullptr)) out.push_back(id);
  }
  return out;
}

std::vector<const OntologyNode*> Ontology::unpaired_fragilities() const {
  std::vector<const OntologyNode*> out;
  for (const auto& [id, node] : nodes) {
    if (node.kind != NodeKind::fragility) continue;
    const std::string prefix = "recovery:" + id.substr(std::string_view("fragility:").size()) + "/";
    const auto at = nodes.lower_bound(prefix);
    if (at == nodes.end() || !at->first.starts_with(prefix)) out.push_back(&node);
  }
  return out;
}

Result<OntologyStore> OntologyStore::from_seed(std::string_view toml_text, const std::string& file,
                                               const Vocabulary& vocabulary) {
  DROVER_ASSIGN(const toml::table root, parse_toml(toml_text, file));
  OntologyStore out;
  DROVER_ASSIGN(*out.current_, SeedReader(root, file, vocabulary).read());
  return out;
}

Result<OntologyStore> OntologyStore::load_seed(const std::string& path, const Vocabulary& vocabulary) {
  DROVER_ASSIGN(const std::string text, read_config_file(path));
  return from_seed(text, path, vocabulary);
}

Ontology& OntologyStore::writable() {
  // Somebody holds a snapshot: go on with a copy of our own.
  if (current_.use_count() > 1) current_ = std::make_shared<Ontology>(*current_);
  return *current_;
}

void OntologyStore::note(const std::string& node, std::string field, std::string before, std::string after,
                         const std::string& proposal) {
  ++writes_;
  if (++written_[fmt::format("{}|{}", node, field)] == 1) ++facts_;
  unsealed_ = true;
  log_.push_back({version_ + 1, node, std::move(field), std::move(before), std::move(after), proposal});
  if (log_.size() <= log_max) return;
  // Whole versions go, so that the log never holds half of one.
  const size_t half = log_.size() / 2;
  const uint64_t last = log_[half].version;
  const auto keep = std::find_if(log_.begin(), log_.end(), [&](const OntologyChange& c) { return c.version > last; });
  if (keep == log_.end()) return;  // one giant batch: it goes as a whole at the next occasion
  log_.erase(log_.begin(), keep);
  log_base_version_ = last;
}

Status OntologyStore::needs_ends(const Proposal& p) const {
  const NodeKind kind = kind_of(p);
  if (kind == NodeKind::object && p.type == ProposalType::add_object_category) return {};
  const std::string subject = kind == NodeKind::recovery ? "fragility:" + p.target : object_id(p.target);
  if (current_->find(subject) == nullptr)
    return fail(Errc::not_found, subject, "is not in the ontology, so nothing can hang on it");
  if (kind == NodeKind::relation && current_->find(object_id(p.other)) == nullptr)
    return fail(Errc::not_found, object_id(p.other), "is not in the ontology, so nothing can relate to it");
  return {};
}

Result<ApplyOutcome> OntologyStore::apply(const Proposal& p) {
  DROVER_TRY(needs_ends(p));
  if (p.type == ProposalType::add_semantic_tag) return add_tag(p);
  std::string id = node_id_of(p);
  if (current_->find(id) == nullptr) return create(p, std::move(id));
  return change(p, id);
}

Result<ApplyOutcome> OntologyStore::create(const Proposal& p, std::string id) {
  if (current_->nodes.size() >= nodes_max) return fail(Errc::overloaded, "ontology", "holds as many nodes as it may");
  OntologyNode node;
  node.id = id;
  node.kind = kind_of(p);
  node.name = p.type == ProposalType::add_skill_gate         ? "skill_gate"
              : p.type == ProposalType::add_energy_heuristic ? "expected_Wh"
              : node.kind == NodeKind::recovery              ? p.other
                                                             : p.name;
  if (node.name != p.name && node.kind == NodeKind::constraint) node.detail = p.name;
  if (node.kind == NodeKind::recovery)
    node.subject = "fragility:" + p.target;
  else if (node.kind != NodeKind::object)
    node.subject = object_id(p.target);
  if (node.kind == NodeKind::relation) node.other = object_id(p.other);
  node.value = p.value;
  if (node.kind == NodeKind::object && !std::holds_alternative<double>(node.value)) node.value = default_risk;
  node.confidence = p.confidence;
  node.source = p.source;
  node.since_version = node.changed_version = version_ + 1;
  node.because = p.id();
  JsonText text;
  write_node(text, node);
  node.evidence = p.evidence;
  note(id, "node", "null", std::move(text).text(), node.because);
  writable().nodes.emplace(std::move(id), std::move(node));
  return ApplyOutcome::created;
}

Result<ApplyOutcome> OntologyStore::change(const Proposal& p, const std::string& id) {
  const OntologyNode& known = current_->nodes.find(id)->second;
  // Only values can be in conflict; that a thing can be pulled is just confirmed.
  const bool says_value =
      !std::holds_alternative<std::monostate>(p.value) && p.type != ProposalType::add_object_category;
  const bool other_value = says_value && !equal_values(known.value, p.value);
  const bool outranked = p.source > known.source || (p.source == known.source && p.confidence < known.confidence);
  if (other_value && outranked && known.source != Source::seed)
    return fail(Errc::refused, id,
                fmt::format("{} with confidence {} says otherwise{}{}", source_name(known.source), known.confidence,
                            known.because.empty() ? "" : " in ", known.because));
  OntologyNode& node = writable().nodes.find(id)->second;
  node.evidence.merge(p.evidence);
  if (!other_value) {
    if (p.source < node.source) node.source = p.source;
    node.confidence = std::max(node.confidence, p.confidence);
    return ApplyOutcome::confirmed;
  }
  note(id, "value", value_json(node.value), value_json(p.value), p.id());
  node.value = p.value;
  node.source = p.source;
  node.confidence = p.confidence;
  node.changed_version = version_ + 1;
  node.because = p.id();
  return ApplyOutcome::changed;
}

Result<ApplyOutcome> OntologyStore::add_tag(const Proposal& p) {
  OntologyNode& node = writable().nodes.find(object_id(p.target))->second;
  const auto at = std::lower_bound(node.tags.begin(), node.tags.end(), p.name);
  node.evidence.merge(p.evidence);
  if (at != node.tags.end() && *at == p.name) return ApplyOutcome::confirmed;
  node.tags.insert(at, p.name);
  node.changed_version = version_ + 1;
  node.because = p.id();
  note(node.id, "tags/" + p.name, "false", "true", node.because);
  return ApplyOutcome::changed;
}

bool OntologyStore::support(std::string_view id, const EvidenceTrail& later) {
  if (current_->find(id) == nullptr) return false;
  writable().nodes.find(id)->second.evidence.merge(later);
  return true;
}

uint64_t OntologyStore::seal() {
  if (unsealed_) ++version_;
  unsealed_ = false;
  return version_;
}

std::optional<std::vector<OntologyChange>> OntologyStore::changes_since(uint64_t version) const {
  if (version < log_base_version_) return std::nullopt;
  std::vector<OntologyChange> out;
  for (const OntologyChange& c : log_)
    if (c.version > version) out.push_back(c);
  return out;
}

double OntologyStore::write_amplification() const {
  return facts_ == 0 ? 1.0 : static_cast<double>(writes_) / static_cast<double>(facts_);
}

std::string OntologyStore::json() const {
  JsonText out;
  out.begin_object().field("format", format_name).field("version", version_);
  out.key("nodes").begin_array();
  for (const auto& [id, node] : current_->nodes) {
    out.line();
    write_node(out, node);
  }
  out.line().end_array().line().key("written").begin_object();
  for (const auto& [fact, times] : written_) out.field(fact, times);
  out.end_object().end_object();
  return std::move(out).text() + "\n";
}

Result<OntologyStore> OntologyStore::restore(std::string_view json) {
  DROVER_ASSIGN(const nlohmann::json root, parse_state(json, format_name));
  OntologyStore out;
  DROVER_ASSIGN(out.version_, get_count(root, "version"));
  DROVER_ASSIGN(const nlohmann::json* written, get_map(root, "written"));
  for (const auto& [fact, times] : written->items()) {
    if (!times.is_number_unsigned()) return bad_state("written", "must hold whole numbers");
    out.writes_ += out.written_[fact] = times.get<uint32_t>();
    ++out.facts_;
  }
  DROVER_ASSIGN(const nlohmann::json* nodes, get_list(root, "nodes"));
  for (const nlohmann::json& item : *nodes) {
    DROVER_ASSIGN(OntologyNode node, read_node(item));
    std::string id = node.id;
    if (!out.current_->nodes.emplace(id, std::move(node)).second) return bad_state(id, "is there twice");
  }
  if (const auto orphans = out.current_->orphans(); !orphans.empty())
    return bad_state(orphans.front(), "hangs on a node that is not there");
  out.log_base_version_ = out.version_;
  return out;
}

}  // namespace drover::semantics
