#include "actors/semantics/vocabulary.hpp"

#include <nlohmann/json.hpp>

#include "actors/semantics/json_text.hpp"
#include "actors/semantics/rollout.hpp"
#include "tests/semantics/support.hpp"

using namespace drover;
using namespace drover::semantics;

TEST_CASE("semantics/vocabulary: a word is mapped or refused by its name") {
  const Vocabulary& v = test::vocabulary();
  CHECK(v.name(v.find(TermKind::failure, "locked_joint")) == "locked");
  CHECK(v.name(v.find(TermKind::failure, "Locked-Joint ")) == "locked");
  CHECK(v.name(v.find(TermKind::action, "OPEN_WITH_CLEARANCE")) == "pull");
  CHECK_FALSE(v.find(TermKind::action, "teleport"));
  const auto refused = v.resolve(TermKind::object, "flux \xFF capacitor");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::not_found);
  CHECK(refused.error().where == "flux \xEF\xBF\xBD capacitor");
  CHECK(refused.error().what.find("kind object") != std::string::npos);
}

TEST_CASE("semantics/vocabulary: every label, reason and family of the program is a term") {
  const Vocabulary& v = test::vocabulary();
  for (size_t i = 0; i < label_count; ++i) CHECK(v.find(TermKind::action, label_name(static_cast<Label>(i))));
  for (size_t i = 1; i < reason_count; ++i) CHECK(v.find(TermKind::failure, reason_name(static_cast<Reason>(i))));
  for (size_t i = 0; i < family_count; ++i) CHECK(v.find(TermKind::task, family_name(static_cast<Family>(i))));
}

TEST_CASE("semantics/vocabulary: terms are the same on every node") {
  const Vocabulary& v = test::vocabulary();
  const auto again = Vocabulary::load(test::config_path("vocabulary.toml"));
  REQUIRE(again);
  CHECK(again->json() == v.json());
  CHECK(again->hash() == v.hash());
  CHECK(nlohmann::json::parse(v.json())["terms"].size() == v.terms().size());
  for (const Term& term : v.terms()) CHECK(v.name(v.find(term.kind, term.name)) == term.name);
  CHECK(v.name(v.affordance_of(v.find(TermKind::action, "pull"))) == "pullable");
  CHECK(v.correction_of(v.find(TermKind::recovery, "re_grasp")) == "regrasp");
}

TEST_CASE("semantics/vocabulary: a bad file is refused with every problem and its line") {
  const auto read = Vocabulary::parse(
      "[action]\nPull = []\ngrasp = [\"pick\"]\npick = []\n[affords]\nfly = \"winged\"\n[colour]\n", "v.toml");
  REQUIRE_FALSE(read);
  for (const char* part :
       {"v.toml:2", "action.Pull", "is a synonym of another", "affords.fly", "\"winged\"", "colour: unknown key"})
    CHECK_MESSAGE(read.error().what.find(part) != std::string::npos, part, " in ", read.error().what);
  CHECK_FALSE(Vocabulary::parse("[action\n", "v.toml"));
  CHECK(Vocabulary::load("/nowhere.toml").error().code == Errc::not_found);
}

TEST_CASE("semantics/json_text: what is written is JSON that reads back, whatever the bytes") {
  JsonText out;
  out.begin_object()
      .field("text", "a\"b\\c\n\x01\xC3\xA9\xFF\xED\xA0\x80")
      .field("pi", 3.141592653589793)
      .field("yes", true);
  out.key("list")
      .begin_array()
      .line()
      .value(1)
      .line()
      .value(-2.5e-7)
      .line()
      .end_array()
      .field("nan", 0.0 / 0.0)
      .end_object();
  const auto read = nlohmann::json::parse(out.text());
  CHECK(read["text"] == "a\"b\\c\n\x01\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(read["pi"] == 3.141592653589793);
  CHECK(read["list"] == nlohmann::json{1, -2.5e-7});
  CHECK(read["nan"].is_null());
  CHECK(clean_text("\xC3\xA9\xC3\xA9", 3) == "\xC3\xA9");
}
