#include "actors/datapack/sampling/tags.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace drover::sampling {
namespace {

using nlohmann::json;
constexpr std::string_view enrichment_format = "drover.enrichment.v1";
constexpr size_t words_max = 256;
constexpr size_t prerequisites_max = 64;
constexpr size_t word_bytes_max = 256;

struct WordKind {
  std::string_view head;
  std::string_view kind;
};
// Heads that enrichment gives to each kind; "<something>able:" is an affordance.
constexpr std::array<WordKind, 8> heads{{{"fragile", "FragilityTag"},
                                         {"risk", "RiskTag"},
                                         {"energy", "EfficiencyTag"},
                                         {"novel", "NoveltyTag"},
                                         {"novel_affordance", "NoveltyTag"},
                                         {"intervention", "InterventionTag"},
                                         {"ood", "OODTag"},
                                         {"recovery", "RecoveryTag"}}};

size_t kind_index(std::string_view kind) {
  return static_cast<size_t>(std::find(tag_kinds.begin(), tag_kinds.end(), kind) - tag_kinds.begin());
}

void take_texts(const json& from, const char* key, size_t count_max, std::vector<std::string>& out) {
  const auto list = from.find(key);
  if (list == from.end() || !list->is_array()) return;
  size_t taken = 0;
  for (const json& item : *list) {
    if (taken++ >= count_max) break;
    const std::string* text = item.get_ptr<const std::string*>();
    if (text != nullptr && !text->empty() && text->size() <= word_bytes_max) out.push_back(*text);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
}

double worst_severity(const json& tags) {
  double worst = 0;
  const auto list = tags.find("FragilityTag");
  if (list == tags.end() || !list->is_array()) return 0;
  for (const json& tag : *list) {
    const auto at = tag.is_object() ? tag.find("severity") : tag.end();
    if (tag.is_object() && at != tag.end() && at->is_number()) worst = std::max(worst, at->get<double>());
  }
  return std::isfinite(worst) ? std::clamp(worst, 0.0, 1.0) : 1.0;
}

TagTrust::Entry entry_of(size_t kind, double trust, const TrustRules& rules) {
  if (trust > rules.trusted_above) {
    const auto special = rules.trusted.find(tag_kinds[kind]);
    return {trust, TagTier::trusted, special == rules.trusted.end() ? rules.trusted_other : special->second};
  }
  if (trust > rules.provisional_above) return {trust, TagTier::provisional, rules.provisional};
  return {trust, TagTier::untrusted, 1};
}

}  // namespace

std::optional<size_t> kind_of_word(std::string_view word) {
  const std::string_view head = word.substr(0, word.find(':'));
  if (word == "energy:not_measured" || word == "energy:estimated")
    return std::nullopt;  // the builder's, not a judgement
  for (const WordKind& at : heads)
    if (head == at.head) return kind_index(at.kind);
  if (head.size() < word.size() && (head.ends_with("able") || head.ends_with("ible")))
    return kind_index("AffordanceTag");
  return std::nullopt;
}

std::string_view tag_tier_name(TagTier tier) noexcept {
  constexpr std::array<std::string_view, 4> names{"unknown", "untrusted", "provisional", "trusted"};
  return names[static_cast<size_t>(tier)];
}

double TagTrust::multiplier(uint8_t kind_bits) const noexcept {
  double out = 1;
  for (size_t i = 0; i < kinds.size(); ++i)
    if ((kind_bits >> i & 1) != 0) out = std::max(out, kinds[i].multiplier);
  return out;
}

std::string_view TagTrust::multiplier_reason(uint8_t kind_bits) const noexcept {
  const double wanted = multiplier(kind_bits);
  for (size_t i = 0; i < kinds.size() && wanted > 1; ++i)
    if ((kind_bits >> i & 1) != 0 && kinds[i].multiplier == wanted) return tag_kinds[i];
  return {};
}

Result<TagTrust> read_tag_trust(std::string_view text, const TrustRules& rules) {
  const json root = json::parse(text, nullptr, false);
  const auto tags = root.is_object() ? root.find("tags") : root.end();
  if (!root.is_object() || tags == root.end() || !tags->is_object())
    return fail(Errc::corrupt, "trust matrix", "has no tags");
  TagTrust out;
  for (size_t i = 0; i < tag_kinds.size(); ++i) {
    const auto at = tags->find(tag_kinds[i]);
    if (at == tags->end()) continue;
    const auto trust = at->is_object() ? at->find("trust") : at->end();
    if (!at->is_object() || trust == at->end() || !trust->is_number())
      return fail(Errc::corrupt, std::string("trust matrix/").append(tag_kinds[i]), "has no trust");
    const double value = trust->get<double>();
    if (!(value >= 0 && value <= 1))
      return fail(Errc::corrupt, std::string("trust matrix/").append(tag_kinds[i]), "trust is not in 0..1");
    out.kinds[i] = entry_of(i, value, rules);
  }
  return out;
}

Result<bool> PackTags::add_enrichment(std::string_view tags_json) {
  const json root = json::parse(tags_json, nullptr, false);
  if (!root.is_object()) return fail(Errc::corrupt, "enrichment", "is no JSON object");
  const auto format = root.find("format");
  if (format == root.end() || !format->is_string() || *format != enrichment_format) return false;
  enriched = true;
  take_texts(root, "words", words_max, words);
  if (const auto tags = root.find("tags"); tags != root.end() && tags->is_object()) {
    for (size_t i = 0; i < tag_kinds.size(); ++i) {
      const auto list = tags->find(tag_kinds[i]);
      if (list != tags->end() && list->is_array() && !list->empty()) kinds |= static_cast<uint8_t>(1u << i);
    }
    fragility = std::max(fragility, worst_severity(*tags));
  }
  if (const auto hints = root.find("hints"); hints != root.end() && hints->is_object()) {
    safety_critical = safety_critical || hints->value("safety_critical", json(false)) == json(true);
    take_texts(*hints, "prerequisites", prerequisites_max, prerequisites);
  }
  const auto told = root.find("success");
  if (told != root.end() && told->is_boolean()) success = success.value_or(true) && told->get<bool>();
  for (const std::string& word : words)
    if (const auto kind = kind_of_word(word)) kinds |= static_cast<uint8_t>(1u << *kind);
  return true;
}

void PackTags::add_words(const std::vector<std::string>& more) {
  for (const std::string& word : more) {
    words.push_back(word);
    if (const auto kind = kind_of_word(word)) kinds |= static_cast<uint8_t>(1u << *kind);
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
}

}  // namespace drover::sampling
