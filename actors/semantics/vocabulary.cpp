#include "actors/semantics/vocabulary.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "actors/semantics/json_text.hpp"
#include "actors/semantics/strict_toml.hpp"
#include "messages/check.hpp"
#include "messages/hash.hpp"

namespace drover::semantics {
namespace {

constexpr size_t word_bytes_max = 64;
constexpr size_t terms_max = 4096;
constexpr std::array<std::string_view, term_kind_count> kind_names = {
    "action", "object", "affordance", "constraint", "relation", "failure", "recovery", "tag", "task"};

TermKind kind_at(size_t i) {
  return static_cast<TermKind>(i);
}
size_t index_of(TermKind kind) {
  return static_cast<size_t>(kind);
}

// Lower case but for units ("max_force_N").
bool is_word(std::string_view word) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !word.empty() && word.size() <= word_bytes_max && word[0] >= 'a' && word[0] <= 'z' &&
         std::all_of(word.begin(), word.end(), fits);
}

}  // namespace

std::string_view term_kind_name(TermKind kind) noexcept {
  return kind_names[index_of(kind)];
}

std::string normal_word(std::string_view said) {
  std::string out;
  for (const char c : said.substr(0, word_bytes_max)) {
    if (c >= 'A' && c <= 'Z')
      out.push_back(static_cast<char>(c - 'A' + 'a'));
    else if (c == ' ' || c == '-' || c == '\t')
      out.push_back('_');
    else
      out.push_back(c);
  }
  const auto not_blank = [](char c) { return c != '_'; };
  out.erase(std::find_if(out.rbegin(), out.rend(), not_blank).base(), out.end());
  out.erase(out.begin(), std::find_if(out.begin(), out.end(), not_blank));
  return out;
}

// Reads one file into a vocabulary; a class only so that problems and tables need not be passed around.
class VocabularyReader {
 public:
  VocabularyReader(const toml::table& root, const std::string& file) : problems_(file), top_(root, "", problems_) {}

  Result<Vocabulary> read() {
    for (size_t i = 0; i < term_kind_count; ++i) read_kind(kind_at(i));
    if (out_.terms_.size() > terms_max) top_.problem("action", "more than 4096 terms in all");
    read_affords();
    read_corrections();
    top_.finish();
    DROVER_TRY(problems_.status());
    const std::string text = out_.json();
    out_.hash_ = to_hex(sha256(as_bytes(text)));
    return std::move(out_);
  }

 private:
  void read_kind(TermKind kind) {
    const toml::table* table = top_.table(term_kind_name(kind));
    if (table == nullptr) return;
    TomlTable words(*table, std::string(term_kind_name(kind)) + ".", problems_);
    for (const auto& [key, node] : *table) {  // toml++ keeps keys sorted
      Term term{kind, std::string(key.str()), {}};
      words.texts(key.str(), term.synonyms);
      for (std::string& synonym : term.synonyms) synonym = normal_word(synonym);
      std::sort(term.synonyms.begin(), term.synonyms.end());
      add(std::move(term), words);
    }
  }

  void add(Term term, TomlTable& words) {
    if (!is_word(term.name)) words.problem(term.name, "must be lower case with underscores, at most 64 bytes");
    const TermId id{static_cast<uint16_t>(out_.terms_.size())};
    auto& said = out_.said_[index_of(term.kind)];
    if (!said.emplace(term.name, id).second) words.problem(term.name, "is a synonym of another term");
    const std::string normal = normal_word(term.name);
    if (normal != term.name) said.emplace(normal, id);
    for (const std::string& synonym : term.synonyms)
      if (!said.emplace(synonym, id).second) words.problem(term.name, "synonym \"" + synonym + "\" is taken");
    out_.terms_.push_back(std::move(term));
  }

  void read_affords() {
    const toml::table* table = top_.table("affords");
    if (table == nullptr) return;
    TomlTable words(*table, "affords.", problems_);
    for (const auto& [key, node] : *table) {
      std::string affordance;
      words.text(key.str(), affordance, true);
      const TermId action = out_.find(TermKind::action, key.str());
      const TermId shown = out_.find(TermKind::affordance, affordance);
      if (!action) words.problem(key.str(), "is not an action");
      if (!shown) words.problem(key.str(), "\"" + affordance + "\" is not an affordance");
      if (action && shown) out_.affords_[action] = shown;
    }
  }

  void read_corrections() {
    const toml::table* table = top_.table("correction");
    if (table == nullptr) return;
    TomlTable words(*table, "correction.", problems_);
    for (const auto& [key, node] : *table) {
      std::string type;
      words.text(key.str(), type, true);
      const TermId recovery = out_.find(TermKind::recovery, key.str());
      if (!recovery) words.problem(key.str(), "is not a recovery");
      if (!is_word(type)) words.problem(key.str(), "the kind of correction must be a lower-case word");
      if (recovery) out_.corrections_[recovery] = type;
    }
  }

  TomlProblems problems_;
  TomlTable top_;
  Vocabulary out_;
};

Result<Vocabulary> Vocabulary::parse(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, parse_toml(toml_text, file));
  return VocabularyReader(root, file).read();
}

Result<Vocabulary> Vocabulary::load(const std::string& path) {
  DROVER_ASSIGN(const std::string text, read_config_file(path));
  return parse(text, path);
}

TermId Vocabulary::find(TermKind kind, std::string_view said) const noexcept {
  const auto& words = said_[index_of(kind)];
  if (const auto at = words.find(said); at != words.end()) return at->second;  // most are said as they are written
  if (said.size() > word_bytes_max) return {};
  const auto at = words.find(normal_word(said));
  return at == words.end() ? TermId{} : at->second;
}

Result<TermId> Vocabulary::resolve(TermKind kind, std::string_view said) const {
  if (const TermId id = find(kind, said)) return id;
  return fail(Errc::not_found, clean_text(said, word_bytes_max),
              fmt::format("is not a term of the vocabulary (kind {})", term_kind_name(kind)));
}

const Term& Vocabulary::term(TermId id) const {
  DROVER_CHECK(id.value < terms_.size(), "a term id of another vocabulary");
  return terms_[id.value];
}

TermId Vocabulary::affordance_of(TermId action) const {
  const auto at = affords_.find(action);
  return at == affords_.end() ? TermId{} : at->second;
}

std::string_view Vocabulary::correction_of(TermId recovery) const {
  const auto at = corrections_.find(recovery);
  return at == corrections_.end() ? std::string_view() : std::string_view(at->second);
}

std::string Vocabulary::json() const {
  JsonText out;
  out.begin_object().field("format", "drover.vocabulary.v1").key("terms").begin_array();
  for (const Term& t : terms_) {
    out.line().begin_object().field("kind", term_kind_name(t.kind)).field("name", t.name);
    out.key("synonyms").begin_array();
    for (const std::string& s : t.synonyms) out.value(s);
    out.end_array().end_object();
  }
  out.end_array().key("affords").begin_object();
  for (const auto& [action, affordance] : affords_) out.field(name(action), name(affordance));
  out.end_object().key("correction").begin_object();
  for (const auto& [recovery, type] : corrections_) out.field(name(recovery), type);
  out.end_object().end_object();
  return std::move(out).text() + "\n";
}

}  // namespace drover::semantics
