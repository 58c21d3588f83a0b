// Configuration, tags and trust as data, facts, and the curriculum's rules.
#include "actors/datapack/sampling/curriculum.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "actors/datapack/sampling/facts.hpp"
#include "actors/runtime/rng.hpp"

namespace drover::sampling {
namespace {

using nlohmann::json;

std::string source_file(const std::string& path) {
  const char* root = std::getenv("DROVER_SOURCE_DIR");
  return std::string(root == nullptr ? "." : root) + "/" + path;
}

constexpr const char* enrichment =
    R"({"format":"drover.enrichment.v1","success":true,"words":["fragile:drawer","pullable:drawer","recovery:low"],
 "tags":{"FragilityTag":[{"object":"drawer","failure":"grasp_slip","severity":0.6}],"RecoveryTag":[{}],"marks":[]},
 "hints":{"safety_critical":true,"curriculum_stage":"skill_building","prerequisites":["graspable:handle"]}})";

constexpr const char* matrix =
    R"({"format":"drover.trust.v1","tags":{"RiskTag":{"trust":0.95,"sampling_multiplier":5},
 "RecoveryTag":{"trust":0.81},"FragilityTag":{"trust":0.5},"OODTag":{"trust":0.51},"NoveltyTag":{"trust":0.9}}})";

EpisodeResult episode(uint64_t n, double errors, uint32_t good_skills = 9, double mpl = 100) {
  EpisodeResult out;
  out.key = {n * 77, static_cast<int64_t>(n)};
  out.errors = errors;
  out.attempts = 1;
  out.skill_attempts = 10;
  out.skill_successes = good_skills;
  out.mpl_units_per_h = mpl;
  return out;
}

}  // namespace

TEST_CASE("sampling/config: the shipped file says what is built in, and problems come together") {
  const auto shipped = load_sampling_config(source_file("configs/sampling/default.toml"));
  REQUIRE_MESSAGE(shipped, shipped.error().message());
  const SamplingConfig built_in;
  CHECK(*shipped == built_in);
  CHECK(*parse_sampling_config("", "empty") == built_in);
  const auto bad = parse_sampling_config(
      "[balanced]\ntier_shares = [0.5, 0.5, 0.5]\n[frontier_focused]\nurgent_from = 2\nurgentt = 1\n"
      "[[quota]]\ngroup = \"nobody\"\nshare = 0.5\n[[group]]\nname = \"error\"\ntags = [\"a*b\"]\n"
      "[preset.safety]\nnothing = 2\n",
      "bad.toml");
  REQUIRE_FALSE(bad);
  for (const char* part : {"add up to 1", "urgent_from", "urgentt", "is no group", "end with '*'", "lacks balanced"})
    CHECK_MESSAGE(bad.error().what.find(part) != std::string::npos, part << " in " << bad.error().what);
}

TEST_CASE("sampling/config: words and beginnings") {
  const auto groups = SamplingConfig::default_groups();
  const auto has = [&](const char* word, const char* group) {
    return (groups_of_word(groups, word) >> group_index(groups, group) & 1) != 0;
  };
  CHECK(has("fragile:vase", "fragile"));
  CHECK(has("fragile", "fragile"));
  CHECK_FALSE(has("fragility", "fragile"));
  CHECK(has("risk:critical", "safety_critical"));
  CHECK(has("risk:critical", "error"));
  CHECK_FALSE(has("risk:high", "safety_critical"));
  CHECK(groups_of_word(groups, "nothing") == 0);
}

TEST_CASE("sampling/tags: enrichment records are read as data, in any order") {
  PackTags a, b;
  const std::string more =
      R"({"format":"drover.enrichment.v1","retroactive":true,"success":false,"words":["risk:high"]})";
  REQUIRE(*a.add_enrichment(enrichment));
  REQUIRE(*a.add_enrichment(more));
  a.add_words({"event:recovered"});
  b.add_words({"event:recovered"});
  REQUIRE(*b.add_enrichment(more));
  REQUIRE(*b.add_enrichment(enrichment));
  for (const PackTags& t : {a, b}) {
    CHECK(t.words == std::vector<std::string>{"event:recovered", "fragile:drawer", "pullable:drawer", "recovery:low",
                                              "risk:high"});
    CHECK(t.kinds == (1 | 2 | 4 | 128));
    CHECK(t.fragility == doctest::Approx(0.6));
    CHECK(t.safety_critical);
    CHECK(t.prerequisites == std::vector<std::string>{"graspable:handle"});
    CHECK(t.success == false);
  }
  PackTags other;
  CHECK_FALSE(*other.add_enrichment(R"({"format":"something.else","words":["risk:high"]})"));
  CHECK(other.words.empty());
  CHECK(other.add_enrichment("{").error().code == Errc::corrupt);
  CHECK(other.add_enrichment("[1]").error().code == Errc::corrupt);
  for (const char* odd :
       {R"({"format":"drover.enrichment.v1","words":7,"tags":[],"hints":3})",
        R"({"format":"drover.enrichment.v1","words":[1,null,""],"tags":{"FragilityTag":[5,{"severity":"x"}]}})",
        R"({"format":"drover.enrichment.v1","hints":{"safety_critical":"yes","prerequisites":{}}})"}) {
    PackTags t;
    CHECK(*t.add_enrichment(odd));
    CHECK(t.words.empty());
    CHECK_FALSE(t.safety_critical);
  }
}

TEST_CASE("sampling/tags: truncated and damaged records never do more than be refused") {
  const std::string whole = enrichment;
  runtime::Rng rng(4);
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    PackTags t;
    CHECK_FALSE(t.add_enrichment(std::string_view(whole).substr(0, cut)));
    std::string flipped = whole;
    flipped[rng.below(flipped.size())] ^= static_cast<char>(1 << rng.below(8));
    PackTags u;
    (void)u.add_enrichment(flipped);
    CHECK(u.fragility <= 1);
  }
}

TEST_CASE("sampling/tags: trust tiers of the matrix") {
  const TrustRules rules;
  const auto trust = read_tag_trust(matrix, rules);
  REQUIRE(trust);
  CHECK(trust->kinds[1].multiplier == 5);
  CHECK(trust->kinds[7].multiplier == 3);
  CHECK(trust->kinds[4].multiplier == 1.5);  // trusted, of another kind
  CHECK(trust->kinds[6].tier == TagTier::provisional);
  CHECK(trust->kinds[0].tier == TagTier::untrusted);
  CHECK(trust->ignored(0));
  CHECK(trust->kinds[2].tier == TagTier::unknown);
  CHECK_FALSE(trust->ignored(2));
  CHECK(trust->multiplier(1 | 128) == 3);
  CHECK(trust->multiplier_reason(1 | 2 | 128) == "RiskTag");
  for (const char* bad : {"", "{}", "[]", R"({"tags":{"RiskTag":{}}})", R"({"tags":{"RiskTag":{"trust":2}}})"})
    CHECK(read_tag_trust(bad, rules).error().code == Errc::corrupt);
}

TEST_CASE("sampling/facts: untrusted tags change nothing") {
  const SamplingConfig config;
  const auto trust = *read_tag_trust(matrix, config.trust);
  FactsBuilder builder(config, trust);
  PackInput input;
  input.task_name = "drawer";
  REQUIRE(*input.tags.add_enrichment(enrichment));
  const PackFacts p = builder.add(input);
  CHECK(p.fragility == 0);  // FragilityTag has 0.5
  CHECK((p.groups >> group_index(config.groups, "fragile") & 1) == 0);
  CHECK((p.groups >> group_index(config.groups, "error") & 1) == 1);  // by recovery:low
  CHECK(p.kinds == (4 | 128));
  CHECK(p.safety_critical);
}

TEST_CASE("sampling/facts: without a valuation a rule of thumb stands in and says so") {
  const SamplingConfig config;
  const TagTrust trust;
  FactsBuilder builder(config, trust);
  PackInput input;
  input.task_name = "drawer";
  input.delta_J = -0.8;
  input.skills = {{3, true, true}};
  PackFacts p = builder.add(input);
  CHECK(p.tier == 2);
  CHECK(p.novelty == 1);
  CHECK_FALSE(p.valued);
  for (int i = 0; i < 2; ++i) p = builder.add(input);
  CHECK(p.novelty == doctest::Approx(1.0 / 3));
  CHECK(p.tier == 1);
  for (int i = 0; i < 5; ++i) p = builder.add(input);
  CHECK(p.tier == 0);
  input.value = PackInput::Value{0.25, 2, 7};
  p = builder.add(input);
  CHECK(p.valued);
  CHECK(p.tier == 2);
  CHECK(p.expected_dmpl == 7);
}

TEST_CASE("sampling/facts: a prerequisite is met above 90 % of at least five episodes") {
  const SamplingConfig config;
  const TagTrust trust;
  FactsBuilder builder(config, trust);
  const auto add = [&](const char* word, bool needs, bool success) {
    PackInput input;
    const json words = needs ? json::array() : json{word}, needed = needs ? json{word} : json::array();
    REQUIRE(*input.tags.add_enrichment(json{
        {"format", "drover.enrichment.v1"},
        {"success", success},
        {"words", words},
        {"hints",
         {{"prerequisites", needed}}}}.dump()));
    return builder.add(input).prerequisites;
  };
  CHECK(add("graspable:handle", true, true) == 1);
  for (int i = 0; i < 3; ++i) add("graspable:handle", false, true);
  CHECK(builder.met_prerequisites() == 0);  // four episodes
  for (int i = 0; i < 14; ++i) add("graspable:handle", false, true);
  CHECK(builder.met_prerequisites() == 1);
  add("graspable:handle", true, false);
  CHECK(builder.met_prerequisites() == 1);  // 18 of 19
  add("graspable:handle", false, false);
  CHECK(builder.met_prerequisites() == 0);  // 18 of 20 is not above 90 %
}

TEST_CASE("sampling/curriculum: phases end by what was measured") {
  const CurriculumConfig config;
  Curriculum c(config);
  uint64_t n = 0;
  for (; n < 99; ++n) CHECK_FALSE(c.observe(episode(n, n < 4 ? 1 : 0)));
  CHECK(c.missing().front() == "1 more episodes to fill the window of 100");
  auto step = c.observe(episode(n++, 0));
  REQUIRE(step);  // 4 errors in 100
  CHECK(step->to == Phase::skill_building);
  CHECK(step->because == "error rate 4.00 % over 100 episodes is below 5 %");
  CHECK(step->metrics.episodes == 100);
  for (; n < 199; ++n) CHECK_FALSE(c.observe(episode(n, 0, 8)));
  CHECK_FALSE(c.observe(episode(n++, 0, 8)));  // exactly 80 % is not above it
  step = c.observe(episode(n++, 0, 9));
  REQUIRE(step);
  CHECK(step->to == Phase::frontier);
  // MPL of the second thousand 4 % above the first.
  step.reset();
  while (n < 2201 && !step) {
    step = c.observe(episode(n, 0, 9, n < 1201 ? 100 : 104));
    ++n;
  }
  REQUIRE(step);
  CHECK(step->to == Phase::fine_tuning);
  CHECK(*step->metrics.mpl_growth < 0.05);
  CHECK(c.phase() == Phase::fine_tuning);
  CHECK(c.missing().empty());
  CHECK(c.history().size() == 3);
  for (; n < 20'000; ++n) CHECK_FALSE(c.observe(episode(n, 1, 0, 1)));  // never back
}

TEST_CASE("sampling/curriculum: exactly five percent is not below it") {
  Curriculum c{CurriculumConfig{}};
  for (uint64_t n = 0; n < 100; ++n) CHECK_FALSE(c.observe(episode(n, n < 5 ? 1 : 0)));
  CHECK(c.observe(episode(100, 0)));  // the first error leaves the window
}

TEST_CASE("sampling/curriculum: phases end by the number of episodes whatever was measured") {
  Curriculum c{CurriculumConfig{}};
  std::vector<uint64_t> at;
  for (uint64_t n = 0; n < 16'000; ++n)  // ever more output, only failures
    if (c.observe(episode(n, 1, 0, std::pow(1.001, static_cast<double>(n) / 2)))) at.push_back(n + 1);
  CHECK(at == std::vector<uint64_t>{1000, 5000, 15'000});
  CHECK(c.history()[1].because.find("5000 episodes") == 0);
}

TEST_CASE("sampling/curriculum: running sums are those of the windows, and the state survives") {
  runtime::Rng rng(8);
  CurriculumConfig config;
  config.window_episodes = 7;
  config.growth_episodes = 5;
  config.episodes_max = {20, 40, 55};
  Curriculum c(config);
  std::vector<EpisodeResult> all;
  for (uint64_t n = 0; n < 60; ++n) {
    EpisodeResult e =
        episode(n, static_cast<double>(rng.below(3)), static_cast<uint32_t>(rng.below(10)), 100 * rng.uniform());
    e.attempts = static_cast<double>(rng.below(4));
    if (rng.chance(0.3)) e.mpl_units_per_h.reset();
    e.estimated = rng.chance(0.5);
    all.push_back(e);
    c.observe(e);
    double errors = 0, attempts = 0;
    uint64_t estimated = 0;
    for (size_t i = all.size() > 7 ? all.size() - 7 : 0; i < all.size(); ++i) {
      errors += all[i].errors;
      attempts += all[i].attempts > 0 ? all[i].attempts : 1;
      estimated += all[i].estimated ? 1 : 0;
    }
    CHECK(c.metrics().error_rate == doctest::Approx(errors / attempts));
    CHECK(c.metrics().estimated == estimated);
    std::vector<double> mpl;
    for (const EpisodeResult& past : all)
      if (past.mpl_units_per_h) mpl.push_back(*past.mpl_units_per_h);
    CHECK(c.metrics().mpl_growth.has_value() == (mpl.size() >= 10));
    if (mpl.size() >= 10) {
      double last = 0, before = 0;
      for (size_t i = 0; i < 5; ++i) last += mpl[mpl.size() - 1 - i], before += mpl[mpl.size() - 6 - i];
      CHECK(*c.metrics().mpl_growth == doctest::Approx(last / before - 1));
    }
    auto back = Curriculum::restored(config, c.json());
    REQUIRE_MESSAGE(back, back.error().message());
    CHECK(back->json() == c.json());
    c = std::move(*back);
  }
  const std::string whole = c.json();
  CHECK(c.history().size() > 0);
  for (size_t cut = 0; cut < whole.size(); cut += 3)
    CHECK(Curriculum::restored(config, whole.substr(0, cut)).error().code == Errc::corrupt);
}

TEST_CASE("sampling/curriculum: what comes late is counted and nothing else") {
  Curriculum c{CurriculumConfig{}};
  for (uint64_t n = 0; n < 990; ++n) c.observe(episode(n, 1));
  CHECK_FALSE(c.count_late(990));
  CHECK_FALSE(c.count_late(995));
  CHECK(c.metrics().late == 5);
  CHECK(c.metrics().episodes == 995);
  const auto step = c.count_late(1000);
  REQUIRE(step);
  CHECK(step->to == Phase::skill_building);
  CurriculumBook book;
  book.emplace("a \"task\"", c);
  const auto back = read_curriculum_book({}, curriculum_book_json(book));
  REQUIRE(back);
  CHECK(back->at("a \"task\"").json() == c.json());
  CHECK(read_curriculum_book({}, "{}").error().code == Errc::corrupt);
}

TEST_CASE("sampling/curriculum: a book is brought up to date in passes, late episodes included") {
  CurriculumBook book;
  const auto pass = [&](const std::vector<std::pair<std::string, uint64_t>>& episodes) {
    BookKeeper keeper(book, {});
    for (const auto& [task, n] : episodes) keeper.take(task, episode(n, 0));
    keeper.finish();
  };
  pass({{"a", 10}, {"a", 20}, {"b", 5}});
  CHECK(book.at("a").metrics().episodes == 2);
  CHECK(book.at("b").metrics().episodes == 1);
  const std::string before = curriculum_book_json(book);
  pass({{"a", 10}, {"a", 20}, {"b", 5}});  // nothing new
  CHECK(curriculum_book_json(book) == before);
  pass({{"a", 7}, {"a", 10}, {"a", 15}, {"a", 20}, {"a", 30}, {"b", 4}, {"b", 5}});
  CHECK(book.at("a").metrics().episodes == 5);
  CHECK(book.at("a").metrics().late == 2);
  CHECK(book.at("a").metrics().window == 3);
  CHECK(book.at("b").metrics().late == 1);
  pass({{"a", 7}, {"a", 10}, {"a", 15}, {"a", 20}, {"a", 30}, {"b", 4}, {"b", 5}});
  CHECK(book.at("a").metrics().episodes == 5);
  CHECK(book.at("a").metrics().late == 2);
}

TEST_CASE("sampling/urgency: signals from the latest episodes") {
  const UrgencyConfig config;
  CHECK(urgency_signals({}, config).error == 0);
  std::deque<RecentEpisode> recent(10, RecentEpisode{0, 1, 0.2, -0.25});
  recent[0].errors = 1;
  const UrgencySignals s = urgency_signals(recent, config);
  CHECK(s.error == doctest::Approx(0.5));
  CHECK(s.energy == 0);
  CHECK(s.mpl == doctest::Approx(0.5));
}

}  // namespace drover::sampling
