// Novelty: the index against a look at every vector, the rows of a store against the definition.
#include "actors/datapack/novelty.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "actors/datapack/novelty_index.hpp"
#include "actors/datapack/novelty_keeper.hpp"
#include "tests/storage/datapack_model.hpp"

using namespace drover;
using namespace drover::datapack;
using drover::storage::Neighbour;
using drover::storage::RowId;
using drover::test::Rng;

namespace {

struct Point {
  RowId id;
  double delta_j = 0;
  std::vector<int8_t> values;
};

uint32_t distance2(const std::vector<int8_t>& a, const std::vector<int8_t>& b) {
  uint32_t sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<uint32_t>((a[i] - b[i]) * (a[i] - b[i]));
  return sum;
}

std::vector<Neighbour> look_at_all(const std::vector<Point>& points, const Point& of, uint32_t k) {
  std::vector<Neighbour> all;
  for (const Point& p : points)
    if (p.id < of.id) all.push_back({distance2(p.values, of.values), p.id, p.delta_j});
  std::sort(all.begin(), all.end(), [](const Neighbour& a, const Neighbour& b) {
    return std::pair(a.distance2, a.id) < std::pair(b.distance2, b.id);
  });
  if (all.size() > k) all.resize(k);
  return all;
}

// Clusters, repeats, and a few that lie anywhere.
std::vector<Point> random_points(Rng& rng, size_t count, size_t dim) {
  std::vector<std::vector<int8_t>> centres(20, std::vector<int8_t>(dim));
  for (auto& centre : centres)
    for (int8_t& v : centre) v = static_cast<int8_t>(static_cast<int>(test::below(rng, 255)) - 127);
  std::vector<Point> points(count);
  for (size_t i = 0; i < count; ++i) {
    Point& p = points[i];
    p.id = {test::below(rng, 1000), i * 0x9e3779b97f4a7c15u};
    p.delta_j = test::number(rng, -1, 1);
    p.values = centres[test::below(rng, centres.size())];
    const int spread = static_cast<int>(test::chance(rng, 10) ? 100 : test::below(rng, 8));
    for (int8_t& v : p.values) {
      const int moved = v + static_cast<int>(test::below(rng, static_cast<uint64_t>(2 * spread + 1))) - spread;
      v = static_cast<int8_t>(std::clamp(moved, -127, 127));
    }
  }
  return points;
}

// Few conditions and outcomes, so that packs are near each other.
std::vector<Datapack> near_packs(Rng& rng, size_t count) {
  std::vector<Datapack> packs = test::colliding_packs(rng, count);
  for (Datapack& p : packs) {
    p.condition.vase_offset_m = {0.02 * static_cast<double>(test::below(rng, 4)), 0, 0};
    p.rgb_features_json.clear();
    if (test::chance(rng, 2)) {
      const double shade = 0.1 * static_cast<double>(test::below(rng, 6));
      p.rgb_features_json =
          "{\"encoder\":\"e\",\"dim\":2,\"pooling\":\"mean\",\"stride_seconds\":0.5,\"camera\":\"c\","
          "\"times_s\":[0],\"features\":[[" +
          std::to_string(shade) + ",0.5]]}";
    }
  }
  return packs;
}

storage::EnvOptions value_options(const std::filesystem::path& path) {
  storage::EnvOptions options = test::pack_options(path);
  for (auto& name : storage::ValuationStore::databases()) options.databases.push_back(name);
  return options;
}

struct NovelStore {
  test::TempDir dir;
  storage::Env env = std::move(storage::Env::open(value_options(dir.path() / "store")).value());
  storage::DatapackStore packs{env};
  storage::ValuationStore values{env};

  std::map<RowId, storage::Valuation> rows() {
    std::map<RowId, storage::Valuation> out;
    const auto read = env.read([&](const storage::ReadTxn& txn) -> Status {
      return values.for_each(txn, false, [&](const RowId& id, const storage::Valuation& value) -> Result<bool> {
        out.emplace(id, value);
        return true;
      });
    });
    REQUIRE(read.has_value());
    return out;
  }
};

void value_all(NoveltyKeeper& keeper, size_t at_once) {
  for (bool more = true; more;) {
    const auto progress = keeper.step(at_once);
    REQUIRE_MESSAGE(progress.has_value(), (progress ? "" : progress.error().message()));
    more = progress->more;
  }
}

}  // namespace

TEST_CASE("datapack/novelty_index: the nearest earlier vectors are those that a look at every vector finds") {
  Rng rng(7);
  for (const size_t dim : {size_t{64}, size_t{5}}) {
    const std::vector<Point> points = random_points(rng, 3000, dim);
    NoveltyIndex index(dim);
    std::vector<Point> seen;
    for (const Point& p : points) {
      const auto probe = index.probe(p.values);
      if (seen.size() % 7 == 0) REQUIRE(index.nearest(probe, p.id, 5) == look_at_all(seen, p, 5));
      index.add(probe, p.values, {p.id, p.delta_j, UINT32_MAX});
      seen.push_back(p);
    }
    CHECK(index.cells() > 4);
    CHECK(index.size() == points.size());
  }
}

TEST_CASE("datapack/novelty_index: a newcomer finds every later vector whose reach it is within") {
  Rng rng(8);
  const std::vector<Point> points = random_points(rng, 2000, 16);
  NoveltyIndex index(16);
  std::vector<Point> seen;
  std::vector<uint32_t> reaches;
  for (const Point& p : points) {
    auto probe = index.probe(p.values);
    if (seen.size() % 5 == 0) {
      std::vector<std::pair<uint32_t, uint32_t>> expected, found;
      for (uint32_t i = 0; i < seen.size(); ++i) {
        const uint32_t d = distance2(seen[i].values, p.values);
        if (p.id < seen[i].id && d <= reaches[i]) expected.emplace_back(i, d);
      }
      for (const auto& later : index.later(probe, p.id)) found.emplace_back(later.slot, later.distance2);
      std::sort(found.begin(), found.end());
      REQUIRE(found == expected);
    }
    const auto reach = static_cast<uint32_t>(test::below(rng, 5000));
    index.add(probe, p.values, {p.id, 0, reach});
    seen.push_back(p);
    reaches.push_back(reach);
    if (test::chance(rng, 3)) {  // reaches shrink as neighbours come
      const auto slot = static_cast<uint32_t>(test::below(rng, seen.size()));
      reaches[slot] /= 2;
      index.set_reach(slot, reaches[slot]);
    }
  }
}

TEST_CASE("datapack/novelty_index: vectors of one place do not part, and equal distances go by id") {
  NoveltyIndex index(8);
  const std::vector<int8_t> same(8, 3);
  for (uint64_t i = 0; i < 3000; ++i) index.add(index.probe(same), same, {{5, 3000 - i}, 0, UINT32_MAX});
  const auto found = index.nearest(index.probe(same), {6, 0}, 3);
  REQUIRE(found.size() == 3);
  for (size_t i = 0; i < 3; ++i) CHECK(found[i] == Neighbour{0, {5, i + 1}, 0});
}

TEST_CASE("datapack/novelty: an episode that was seen often is not novel, its outcome may still be") {
  const double unit = 10;
  std::vector<storage::SpacePlace> places(1);
  places[0].unit = unit;
  CHECK(score_novelty(places, 0.4, 5).novelty == 1);
  CHECK(score_novelty(places, 0.4, 5).causal_gain == doctest::Approx(0.4));
  for (uint64_t i = 0; i < 5; ++i) places[0].neighbours.push_back({0, {i, i}, 0.5});
  CHECK(score_novelty(places, 0.5, 5).novelty == 0);
  CHECK(score_novelty(places, 0.5, 5).causal_gain == doctest::Approx(0));
  CHECK(score_novelty(places, -0.5, 5).causal_gain == doctest::Approx(1.0));
  for (auto& n : places[0].neighbours) n.distance2 = 100;  // one unit away
  CHECK(score_novelty(places, 0.5, 5).novelty == doctest::Approx(1 - std::exp(-1.0)));
  places[0].neighbours.resize(1);
  places[0].neighbours[0].distance2 = 0;
  CHECK(score_novelty(places, 0.5, 5).novelty == doctest::Approx(0.8));
}

TEST_CASE("datapack/novelty: features tell conditions, skills and outcomes of steps apart, and never see delta_J") {
  Rng rng(3);
  Datapack p = test::colliding_pack(rng);
  p.rgb_features_json.clear();
  const NoveltyConfig config;
  const auto facts = [&] { return feature_vectors(p, config).front().values; };
  const auto before = facts();
  REQUIRE(before.size() == facts_dim);
  p.attribution.delta_J += 5;
  p.pack_id += "x";
  p.condition.tags_json = p.condition.tags_json.empty() ? R"({"template":"failure"})" : p.condition.tags_json;
  CHECK(facts() == before);
  p.condition.vase_offset_m.at(0) += 0.05;
  const auto moved = facts();
  CHECK(moved != before);
  p.skill_trace.back().outcome = p.skill_trace.back().outcome == "failure" ? "success" : "failure";
  CHECK(facts() != moved);
  p.rgb_features_json = "{\"encoder\":1}";  // unreadable features are left out, not refused
  CHECK(feature_vectors(p, config).size() == 1);
}

TEST_CASE("datapack/novelty_keeper: rows are those of the definition, whatever order and batches packs came in") {
  Rng rng(11);
  std::vector<Datapack> packs = near_packs(rng, 400);
  const NoveltyConfig config;
  std::map<RowId, storage::Valuation> first;
  for (int round = 0; round < 4; ++round) {
    NovelStore store;
    auto keeper = std::make_unique<NoveltyKeeper>(store.env, config);
    for (size_t start = 0; start < packs.size(); start += 97) {
      const std::vector<Datapack> part(packs.begin() + static_cast<std::ptrdiff_t>(start),
                                       packs.begin() + static_cast<std::ptrdiff_t>(std::min(packs.size(), start + 97)));
      REQUIRE(test::put_all(store.env, store.packs, part, 50).has_value());
      value_all(*keeper, 1 + test::below(rng, 60));
      if (test::chance(rng, 2)) keeper = std::make_unique<NoveltyKeeper>(store.env, std::nullopt);  // a restart
    }
    const auto rows = store.rows();
    if (round == 0) first = rows;
    REQUIRE(rows.size() == packs.size());
    REQUIRE(rows == first);
    std::shuffle(packs.begin(), packs.end(), rng);
  }
  for (const Datapack& p : packs) {  // the definition, by looking at every pack
    const RowId id = storage::summarize(p).id();
    storage::Valuation expected;
    expected.delta_j = p.attribution.delta_J;
    for (const FeatureVector& vector : feature_vectors(p, config)) {
      storage::SpacePlace place{space_id(p.task_name, vector), vector.unit, {}};
      std::vector<Point> others;
      for (const Datapack& q : packs)
        for (const FeatureVector& other : feature_vectors(q, config))
          if (space_id(q.task_name, other) == place.space)
            others.push_back({storage::summarize(q).id(), q.attribution.delta_J, other.values});
      place.neighbours = look_at_all(others, {id, 0, vector.values}, config.neighbours);
      expected.places.push_back(std::move(place));
    }
    const NoveltyScore score = score_novelty(expected.places, expected.delta_j, config.neighbours);
    REQUIRE(first.at(id).places == expected.places);
    REQUIRE(first.at(id).novelty == score.novelty);
    REQUIRE(first.at(id).causal_gain == score.causal_gain);
  }
}

TEST_CASE("datapack/novelty_keeper: another config values anew, and older stores catch up") {
  Rng rng(12);
  NovelStore store;
  REQUIRE(test::put_all(store.env, store.packs, near_packs(rng, 60), 60).has_value());
  {  // as a store from before there was a todo list
    REQUIRE(store.env
                .write([&](storage::WriteTxn& txn) -> Status {
                  DROVER_ASSIGN(const auto ids, store.packs.todo(txn, 1000));
                  for (const RowId& id : ids) DROVER_TRY(store.packs.done_in(txn, id));
                  return {};
                })
                .has_value());
  }
  NoveltyKeeper keeper(store.env, std::nullopt);
  value_all(keeper, 1000);
  const auto before = store.rows();
  CHECK(before.size() == 60);
  NoveltyConfig wide;
  wide.facts_scale = 2;
  NoveltyKeeper other(store.env, wide);
  value_all(other, 1000);
  const auto after = store.rows();
  CHECK(after.size() == 60);
  CHECK(after != before);
  NoveltyKeeper third(store.env, std::nullopt);  // takes over what it finds
  value_all(third, 1000);
  CHECK(store.rows() == after);
  CHECK(third.facts().vectors >= 60);
}

TEST_CASE("storage/valuation_store: tiers follow the thresholds, expectations stand beside the rows") {
  NovelStore store;
  const RowId id{7, 9};
  storage::Valuation value;
  value.delta_j = 0.1;
  value.novelty = 0.5;
  value.causal_gain = 0.1;
  storage::Expectation expected{0.2, 0.1, 0.3, 0.5, 4, 12};
  const auto put = store.env.write([&](storage::WriteTxn& txn) -> Status {
    DROVER_TRY(store.values.put_in(txn, id, value));
    DROVER_TRY(store.values.put_expected_in(txn, {1, 1}, expected));  // of a pack that is not valued
    DROVER_TRY(store.values.put_expected_in(txn, id, expected));
    return {};
  });
  REQUIRE(put.has_value());
  const auto tier = [&] { return store.rows().at(id).tier; };
  CHECK(tier() == 1);
  const auto set = [&](double novelty, double gain) {
    return store.env.write([&](storage::WriteTxn& txn) {
      return store.values.set_thresholds_in(txn, {novelty, gain, 1});
    });
  };
  REQUIRE(set(0.6, 0.2).has_value());
  CHECK(tier() == 0);
  REQUIRE(set(0.6, 0.1).has_value());
  CHECK(tier() == 2);
  CHECK(store.rows().at(id).expected == expected);
  CHECK(set(1.5, 0).error().where == "novelty_min");
  CHECK(set(0.5, -1).error().where == "causal_gain_min");
  expected.low = NAN;
  const auto refused =
      store.env.write([&](storage::WriteTxn& txn) { return store.values.put_expected_in(txn, id, expected); });
  CHECK(refused.error().code == Errc::invalid_argument);
}
