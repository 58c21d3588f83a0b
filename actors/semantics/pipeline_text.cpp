// Saving and restoring the pipeline: each part as the document it writes itself, and what the pipeline keeps.
#include <fmt/format.h>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/semantics/pipeline.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.stage2.v2";

using Node = nlohmann::json;

bool is_pair(const Node& node, size_t size) {
  return node.is_array() && node.size() == size;
}

Result<std::vector<uint64_t>> get_counts(const Node& from, const char* field) {
  DROVER_ASSIGN(const Node* list, get_list(from, field));
  std::vector<uint64_t> out;
  for (const Node& item : *list) {
    if (!item.is_number_unsigned()) return bad_state(field, "must hold whole numbers");
    out.push_back(item.get<uint64_t>());
  }
  return out;
}

}  // namespace

void Stage2Pipeline::write_state(JsonText& out) const {
  out.key("counts").begin_array();
  for (const uint64_t n : {metrics_.episodes, metrics_.primitives, metrics_.ood_primitives, metrics_.refused_words,
                           metrics_.retroactive_records, metrics_.forgotten_outcomes, resilience_.failures(),
                           resilience_.recovered(), resilience_.value(), known_base_})
    out.value(n);
  out.end_array().key("output").begin_array().value(output_.sum).value(output_.count).value(output_.last_mean);
  out.value(output_.before_mean).value(output_.blocks);
  out.end_array().key("episodes_with").begin_array();
  for (const uint64_t n : metrics_.episodes_with) out.value(n);
  out.end_array().key("pairs").begin_array();
  for (const auto& [pair, n] : pairs_)
    out.begin_array().value(label_name(pair.first)).value(vocabulary_->name(pair.second)).value(n).end_array();
  out.end_array().key("family_Wh").begin_array();
  for (const auto& [family, sum] : family_Wh_)
    out.begin_array().value(static_cast<unsigned>(family)).value(sum.first).value(sum.second).end_array();
  out.end_array().key("last_failed").begin_array();
  for (const uint8_t f : last_failed_) out.value(static_cast<unsigned>(f));
  out.end_array().key("marks").begin_object();
  for (const auto& [mark, n] : mark_counts_) out.field(mark, n);
  out.end_object().key("waiting").begin_array();
  for (const std::string& pack : waiting_order_) {
    const auto at = waiting_.find(pack);
    if (at == waiting_.end()) continue;
    const Waiting& w = at->second;
    out.line().begin_array().value(pack).value(w.bits).value(w.counted).value(vocabulary_->name(w.object));
    out.value(w.energy_Wh).value(w.episode_id).end_array();
  }
  out.end_array().key("known").begin_array();
  for (const Known& k : known_) {
    out.line().begin_array().value(k.pack_id).begin_array();
    for (const auto& [object, reason] : k.failures)
      out.begin_array().value(vocabulary_->name(object)).value(reason_name(reason)).end_array();
    out.end_array().end_array();
  }
  out.end_array().key("retroactive").begin_array();
  for (const auto& [index, words] : retroactive_) {
    out.begin_array().value(index);
    for (const std::string& word : words) out.value(word);
    out.end_array();
  }
  out.end_array().key("econ_watch");
  econ_watch_.write(out);
  out.field("retro_because", retro_because_).key("refinements_made").begin_array();
  for (const std::string& id : refiner_.made()) out.value(id);
  out.end_array();
}

std::string Stage2Pipeline::save() const {
  JsonText out;
  out.begin_object().field("format", format_name).field("vocabulary", vocabulary_->hash());
  out.field("orchestrator", orchestrator_.json()).field("trust", orchestrator_.trust().json());
  out.field("update", update_.json()).field("invariants", invariants_.json()).field("reference", reference_.json());
  out.field("correlator", correlator_.json());
  write_state(out);
  out.end_object();
  return std::move(out).text();
}

Status Stage2Pipeline::read_state(const Node& root) {
  DROVER_ASSIGN(const auto counts, get_counts(root, "counts"));
  DROVER_ASSIGN(const auto with, get_counts(root, "episodes_with"));
  DROVER_ASSIGN(const auto failed, get_counts(root, "last_failed"));
  if (counts.size() != 10 || with.size() != tag_kind_count) return bad_state("counts", "have the wrong length");
  metrics_.episodes = counts[0];
  metrics_.primitives = counts[1];
  metrics_.ood_primitives = counts[2];
  metrics_.refused_words = counts[3];
  metrics_.retroactive_records = counts[4];
  metrics_.forgotten_outcomes = counts[5];
  resilience_.restore(counts[6], counts[7], counts[8]);
  known_base_ = counts[9];
  std::copy(with.begin(), with.end(), metrics_.episodes_with.begin());
  for (const uint64_t f : failed) last_failed_.push_back(f != 0 ? 1 : 0);
  DROVER_ASSIGN(const Node* output, get_list(root, "output"));
  if (!is_pair(*output, 5) || !(*output)[0].is_number() || !(*output)[1].is_number_unsigned() ||
      !(*output)[2].is_number() || !(*output)[3].is_number() || !(*output)[4].is_number_unsigned())
    return bad_state("output", "must hold [sum, count, mean, mean, blocks]");
  output_ = {(*output)[0].get<double>(), (*output)[1].get<uint64_t>(), (*output)[2].get<double>(),
             (*output)[3].get<double>(), (*output)[4].get<uint64_t>()};
  DROVER_ASSIGN(const Node* pairs, get_list(root, "pairs"));
  for (const Node& p : *pairs) {
    if (!is_pair(p, 3) || !p[0].is_string() || !p[1].is_string() || !p[2].is_number_unsigned())
      return bad_state("pairs", "must hold [label, object, count]");
    const auto label = label_from(p[0].get<std::string>());
    DROVER_ASSIGN(const TermId object, vocabulary_->resolve(TermKind::object, p[1].get<std::string>()));
    if (!label) return bad_state("pairs", "unknown label");
    pairs_[{*label, object}] = p[2].get<uint64_t>();
  }
  DROVER_ASSIGN(const Node* sums, get_list(root, "family_Wh"));
  for (const Node& s : *sums) {
    if (!is_pair(s, 3) || !s[0].is_number_unsigned() || !s[1].is_number() || !s[2].is_number_unsigned() ||
        s[0].get<uint64_t>() > family_count)
      return bad_state("family_Wh", "must hold [family, sum, count]");
    family_Wh_[static_cast<Family>(s[0].get<uint8_t>())] = {s[1].get<double>(), s[2].get<uint64_t>()};
  }
  DROVER_ASSIGN(const Node* marks, get_map(root, "marks"));
  for (const auto& [mark, n] : marks->items()) {
    if (!n.is_number_unsigned()) return bad_state("marks", "must hold counts");
    mark_counts_[mark] = n.get<uint64_t>();
  }
  DROVER_ASSIGN(const Node* econ, get_list(root, "econ_watch"));
  DROVER_TRY(econ_watch_.read(*econ));
  DROVER_ASSIGN(retro_because_, get_text(root, "retro_because"));
  DROVER_ASSIGN(const auto made, get_texts(root, "refinements_made"));
  refiner_.restore_made({made.begin(), made.end()});
  return read_episodes(root);
}

Status Stage2Pipeline::read_episodes(const Node& root) {
  DROVER_ASSIGN(const Node* waiting, get_list(root, "waiting"));
  for (const Node& w : *waiting) {
    if (!is_pair(w, 6) || !w[0].is_string() || !w[1].is_number_unsigned() || !w[2].is_boolean() || !w[3].is_string() ||
        !w[4].is_number() || !w[5].is_string())
      return bad_state("waiting", "must hold [pack, bits, counted, object, energy, episode]");
    Waiting entry{w[1].get<uint32_t>(), w[2].get<bool>(), {}, w[4].get<double>(), w[5].get<std::string>()};
    if (!w[3].get_ref<const std::string&>().empty()) {
      DROVER_ASSIGN(entry.object, vocabulary_->resolve(TermKind::object, w[3].get<std::string>()));
    }
    waiting_order_.push_back(w[0].get<std::string>());
    waiting_[waiting_order_.back()] = std::move(entry);
  }
  DROVER_ASSIGN(const Node* known, get_list(root, "known"));
  for (const Node& k : *known) {
    if (!is_pair(k, 2) || !k[0].is_string() || !k[1].is_array())
      return bad_state("known", "must hold [pack, failures]");
    Known entry{k[0].get<std::string>(), {}};
    for (const Node& f : k[1]) {
      if (!is_pair(f, 2) || !f[0].is_string() || !f[1].is_string()) return bad_state("known", "has bad failures");
      const auto reason = reason_from(f[1].get<std::string>());
      DROVER_ASSIGN(const TermId object, vocabulary_->resolve(TermKind::object, f[0].get<std::string>()));
      if (!reason) return bad_state("known", "has an unknown reason");
      entry.failures.emplace_back(object, *reason);
    }
    known_.push_back(std::move(entry));
  }
  DROVER_ASSIGN(const Node* retroactive, get_list(root, "retroactive"));
  for (const Node& r : *retroactive) {
    if (!r.is_array() || r.empty() || !r[0].is_number_unsigned() || r[0].get<uint64_t>() < known_base_ ||
        r[0].get<uint64_t>() - known_base_ >= known_.size())
      return bad_state("retroactive", "is about an episode that is not known");
    std::set<std::string>& words = retroactive_[r[0].get<uint64_t>()];
    for (size_t i = 1; i < r.size(); ++i) {
      if (!r[i].is_string()) return bad_state("retroactive", "must hold words");
      words.insert(r[i].get<std::string>());
    }
  }
  return {};
}

Status Stage2Pipeline::restore(std::string_view saved) {
  DROVER_ASSIGN(const Node root, parse_state(saved, format_name));
  DROVER_ASSIGN(const std::string hash, get_text(root, "vocabulary"));
  if (hash != vocabulary_->hash())
    return fail(Errc::conflict, "vocabulary", "the state was saved with another vocabulary");
  std::array<std::string, 6> parts;
  const std::array<const char*, 6> names = {"orchestrator", "trust", "update", "invariants", "reference", "correlator"};
  for (size_t i = 0; i < parts.size(); ++i) {
    DROVER_ASSIGN(parts[i], get_text(root, names[i]));
  }
  Stage2Pipeline fresh(config_, *vocabulary_, {}, {});
  DROVER_ASSIGN(const TrustMatrix trust, TrustMatrix::restored(config_.trust, parts[1]));
  DROVER_TRY(fresh.orchestrator_.restore(parts[0], trust));
  DROVER_TRY(fresh.update_.restore(parts[2]));
  DROVER_TRY(fresh.invariants_.restore(parts[3]));
  DROVER_TRY(fresh.reference_.restore(parts[4]));
  DROVER_TRY(fresh.correlator_.restore(parts[5]));
  DROVER_TRY(fresh.read_state(root));
  *this = std::move(fresh);
  return {};
}

}  // namespace drover::semantics
