// The datapack store against a brute-force reference.
#include "storage/datapack_store.hpp"

#include <doctest/doctest.h>

#include <set>

#include "tests/storage/datapack_model.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::test;

namespace {

// Every table, key by key.
std::string dump(const Env& env) {
  std::string out;
  for (const std::string& name : DatapackStore::databases()) {
    const Status status = env.read([&](const ReadTxn& txn) -> Status {
      return txn.for_each(env.db(name), {}, [&](ByteView key, ByteView value) -> Result<bool> {
        out += name + " " + to_hex(key) + " " + to_hex(value) + "\n";
        return true;
      });
    });
    REQUIRE(status);
  }
  return out;
}

QueryAnswer ask(const TempStore& s, const PackQuery& q) {
  auto answer = s.env.read([&](const ReadTxn& txn) { return s.store.query(txn, q); });
  REQUIRE_MESSAGE(answer.has_value(), (answer ? std::string() : answer.error().message()));
  return std::move(*answer);
}

std::vector<std::string> ids_of(const QueryAnswer& answer) {
  std::vector<std::string> ids;
  for (const PackHit& hit : answer.hits) ids.push_back(hit.pack_id);
  return ids;
}

void check_queries(const TempStore& s, const std::vector<Datapack>& packs, Rng& rng, int rounds) {
  std::set<std::string> plans;
  for (int i = 0; i < rounds; ++i) {
    const PackQuery q = random_query(rng);
    const QueryAnswer answer = ask(s, q);
    const auto expected = reference_answer(q, packs);
    const auto got = ids_of(answer);
    INFO("query " << i << " sort " << sort_by_name(q.sort_by) << " plan " << answer.plan << " expected "
                  << expected.size() << " got " << got.size());
    REQUIRE(got == expected);
    plans.insert(answer.plan.substr(0, answer.plan.find_first_of("0123456789")));
  }
  CHECK(plans.size() >= 8);  // the queries reached most kinds of plan
}

}  // namespace

TEST_CASE("storage/datapack_store: random queries answer what a look at every pack answers") {
  for (const size_t count : {1u, 40u, 700u, 4000u}) {
    Rng rng(count);
    TempStore s;
    const auto packs = colliding_packs(rng, count);
    REQUIRE(put_all(s.env, s.store, packs, 333));
    const Status verified = s.env.read([&](const ReadTxn& txn) { return s.store.verify(txn); });
    CHECK_MESSAGE(verified.has_value(), (verified ? std::string() : verified.error().message()));
    if (count < 700) {
      for (int i = 0; i < 300; ++i) {
        const PackQuery q = random_query(rng);
        REQUIRE(ids_of(ask(s, q)) == reference_answer(q, packs));
      }
    } else {
      check_queries(s, packs, rng, 1500);
    }
  }
}

TEST_CASE("storage/datapack_store: statistics equal those counted from every pack") {
  Rng rng(5);
  TempStore s;
  const auto packs = colliding_packs(rng, 1500);
  REQUIRE(put_all(s.env, s.store, packs, 100));
  for (const std::string task : {"drawer_vase", "dishwashing", "unknown"}) {
    PackStatistics expected;
    std::set<int64_t> skills;
    long double sum = 0, squares = 0, trust = 0;
    for (const Datapack& p : packs) {
      if (p.task_name != task) continue;
      ++expected.total;
      (p.bucket == Bucket::positive ? expected.positive : expected.negative) += 1;
      sum += p.attribution.delta_J;
      trust += p.attribution.trust_score;
      for (const SkillStep& step : p.skill_trace) skills.insert(step.skill_id);
      ++expected.engine_types[p.condition.engine_type];
      ++expected.source_types[std::string(source_type_name(p.attribution.source_type))];
      expected.with_sima += p.sima_annotation ? 1 : 0;
      expected.with_counterfactual += p.counterfactual_plan_json.empty() ? 0 : 1;
    }
    const auto n = static_cast<long double>(std::max<uint64_t>(expected.total, 1));
    for (const Datapack& p : packs)
      if (p.task_name == task) squares += (p.attribution.delta_J - sum / n) * (p.attribution.delta_J - sum / n);
    const auto got = s.env.read([&](const ReadTxn& txn) { return s.store.statistics(txn, task); });
    REQUIRE(got);
    CHECK(got->total == expected.total);
    CHECK(got->positive == expected.positive);
    CHECK(got->negative == expected.negative);
    CHECK(got->positive_ratio == doctest::Approx(static_cast<double>(expected.positive / n)));
    CHECK(got->delta_j_mean == doctest::Approx(static_cast<double>(sum / n)));
    CHECK(got->delta_j_std == doctest::Approx(static_cast<double>(std::sqrt(squares / n))));
    CHECK(got->trust_mean == doctest::Approx(static_cast<double>(trust / n)));
    CHECK(got->unique_skills == std::vector<int64_t>(skills.begin(), skills.end()));
    CHECK(got->engine_types == expected.engine_types);
    CHECK(got->source_types == expected.source_types);
    CHECK(got->with_sima == expected.with_sima);
    CHECK(got->with_counterfactual == expected.with_counterfactual);
  }
}

TEST_CASE("storage/datapack_store: the tables hold the same bytes in whatever order and batches packs arrive") {
  Rng rng(6);
  auto packs = colliding_packs(rng, 900);
  std::string first;
  for (const size_t batch : {900u, 1u, 7u, 250u}) {
    TempStore s;
    REQUIRE(put_all(s.env, s.store, packs, batch));
    const std::string bytes = dump(s.env);
    if (first.empty()) first = bytes;
    CHECK(bytes == first);
    std::shuffle(packs.begin(), packs.end(), rng);
  }
}

TEST_CASE("storage/datapack_store: a pack again changes nothing, other content under its id is a conflict") {
  Rng rng(7);
  TempStore s;
  Datapack pack = colliding_pack(rng);
  const auto put = [&](const Datapack& p) {
    return s.env.write([&](WriteTxn& txn) { return s.store.put_in(txn, p); });
  };
  CHECK(put(pack).value() == PutOutcome::stored);
  const std::string before = dump(s.env);
  CHECK(put(pack).value() == PutOutcome::known);
  CHECK(s.env.write([&](WriteTxn& txn) { return s.store.put_encoded_in(txn, encode(pack)); }).value() ==
        PutOutcome::known);
  Datapack other = pack;
  other.env_type += "x";
  CHECK(put(other).error().code == Errc::conflict);
  other = pack;
  other.provenance.start_unix_ns -= 1;
  CHECK(put(other).error().code == Errc::conflict);
  CHECK(dump(s.env) == before);
  const auto back = s.env.read([&](const ReadTxn& txn) { return s.store.get(txn, pack.pack_id); });
  REQUIRE(back);
  REQUIRE(back->has_value());
  CHECK(**back == pack);
  CHECK(!s.env.read([&](const ReadTxn& txn) { return s.store.get(txn, "nobody"); }).value().has_value());
  CHECK(!s.env.read([&](const ReadTxn& txn) { return s.store.get(txn, std::string(4000, 'x')); }).value().has_value());
}

TEST_CASE("storage/datapack_store: within one batch repeats are known, refusals leave the rest standing") {
  Rng rng(8);
  TempStore s;
  const auto packs = colliding_packs(rng, 3);
  Datapack other = packs[0];
  other.env_type += "x";
  Datapack invalid = packs[2];
  invalid.skill_trace.clear();
  Datapack not_json = packs[2];
  not_json.agent_profile_json = "{broken";
  const Status status = s.env.write([&](WriteTxn& txn) -> Status {
    DatapackBatch batch(s.store, txn);
    DROVER_TRY(batch.put(packs[0]));
    CHECK(batch.put(packs[0]).value() == PutOutcome::known);
    CHECK(batch.put(other).error().code == Errc::conflict);
    CHECK(batch.put(invalid).error().where == "skill_trace");
    CHECK(batch.put(not_json).error().where == "agent_profile");
    CHECK(batch.put_encoded(as_bytes("garbage!")).error().code == Errc::invalid_argument);
    DROVER_TRY(batch.put(packs[1]));
    return batch.finish();
  });
  REQUIRE(status);
  CHECK(s.env.read([&](const ReadTxn& txn) { return s.store.count(txn); }).value() == 2);
  CHECK(s.env.read([&](const ReadTxn& txn) { return s.store.verify(txn); }));
}

TEST_CASE("storage/datapack_store: shortcuts give the best and the worst of a skill") {
  Rng rng(9);
  TempStore s;
  const auto packs = colliding_packs(rng, 800);
  REQUIRE(put_all(s.env, s.store, packs, 100));
  const auto best =
      s.env.read([&](const ReadTxn& txn) { return s.store.positive_for_skill(txn, "drawer_vase", 3, 10); }).value();
  const auto worst =
      s.env.read([&](const ReadTxn& txn) { return s.store.negative_for_skill(txn, "drawer_vase", 3, 10); }).value();
  REQUIRE(best.hits.size() == 10);
  REQUIRE(worst.hits.size() == 10);
  CHECK(best.hits.front().row.delta_j >= best.hits.back().row.delta_j);
  CHECK(best.hits.back().row.delta_j >= 0);
  CHECK(worst.hits.front().row.delta_j <= worst.hits.back().row.delta_j);
  CHECK(worst.hits.back().row.delta_j < 0);
}

TEST_CASE("storage/datapack_store: tasks, walks and explanations") {
  Rng rng(10);
  TempStore s;
  const auto packs = colliding_packs(rng, 200);
  REQUIRE(put_all(s.env, s.store, packs, 50));
  const auto tasks = s.env.read([&](const ReadTxn& txn) { return s.store.tasks(txn); }).value();
  REQUIRE(tasks.size() == 2);
  CHECK(tasks[0].task_name == "dishwashing");
  CHECK(tasks[0].packs + tasks[1].packs == 200);
  uint64_t seen = 0;
  int64_t last = INT64_MIN;
  REQUIRE(s.env.read([&](const ReadTxn& txn) -> Status {
    return s.store.for_each(txn, "dishwashing", [&](ByteView flat) -> Result<bool> {
      DROVER_ASSIGN(const Datapack p, decode_datapack(flat));
      CHECK(p.task_name == "dishwashing");
      CHECK(p.provenance.start_unix_ns >= last);
      last = p.provenance.start_unix_ns;
      ++seen;
      return true;
    });
  }));
  CHECK(seen == tasks[0].packs);
  PackQuery q;
  q.task_name = "drawer_vase";
  q.tags = {"rare"};
  const auto text = s.env.read([&](const ReadTxn& txn) { return s.store.explain(txn, q); }).value();
  CHECK(text.find("tag rare") < text.find("sorted by"));
}

TEST_CASE("storage/datapack_store: queries out of range are refused with the name of the field") {
  TempStore s;
  const auto refused = [&](auto change) {
    PackQuery q;
    change(q);
    const auto answer = s.env.read([&](const ReadTxn& txn) { return s.store.query(txn, q); });
    return answer ? std::string("accepted") : answer.error().where;
  };
  CHECK(refused([](PackQuery&) {}) == "accepted");
  CHECK(refused([](PackQuery& q) { q.limit = 0; }) == "limit");
  CHECK(refused([](PackQuery& q) { q.limit = query_limit_max + 1; }) == "limit");
  CHECK(refused([](PackQuery& q) { q.min_trust = NAN; }) == "min_trust");
  CHECK(refused([](PackQuery& q) { q.min_delta_j = INFINITY; }) == "min_delta_j");
  CHECK(refused([](PackQuery& q) { q.min_mvd_score = NAN; }) == "min_mvd_score");
  CHECK(refused([](PackQuery& q) { q.engine_type = "unreal"; }) == "engine_type");
  CHECK(refused([](PackQuery& q) { q.tags.resize(query_tags_max + 1); }) == "tags");
}

TEST_CASE("storage/datapack_store: rows that do not fit their packs are found") {
  for (const std::string table : {"packs.data", "packs.ids", "packs.lists", "packs.counts", "packs.tasks"}) {
    Rng rng(11);
    TempStore s;
    REQUIRE(put_all(s.env, s.store, colliding_packs(rng, 60), 60));
    int odd = 0;
    REQUIRE(s.env.write([&](WriteTxn& txn) -> Status {  // the table's first row loses its last 4 bytes
      Cursor cursor = txn.cursor(s.env.db(table));
      DROVER_TRY(cursor.first());
      DROVER_ASSIGN(const ByteView value, cursor.value());
      const Bytes key = Bytes::copy_of(cursor.key());
      const Bytes shorter = Bytes::copy_of(value.first(value.size() - 4));
      ++odd;
      return txn.put(s.env.db(table), key, shorter);
    }));
    INFO(table);
    const Status found = s.env.read([&](const ReadTxn& txn) { return s.store.verify(txn); });
    CHECK(!found);
    for (int i = 0; i < 200; ++i) {  // whatever is asked: an answer or an error
      const PackQuery q = random_query(rng);
      (void)s.env.read([&](const ReadTxn& txn) { return s.store.query(txn, q); });
    }
  }
}

TEST_CASE("storage/datapack_store: the worked example of DATAPACKS.md") {
  TempStore s;
  Datapack p;
  p.pack_id = "p1";
  p.task_name = "drawer_vase";
  p.provenance.start_unix_ns = p.provenance.end_unix_ns = 5;
  p.semantic_tags = {"fragile"};
  p.skill_trace.push_back({3, 0, 1, "success", {}});
  REQUIRE(s.env.write([&](WriteTxn& txn) { return s.store.put_in(txn, p); }));
  const auto hex = [](uint64_t v) { return to_hex(Key().u64(v)); };
  const std::string task = hex(name_hash("drawer_vase")), zeros(48, '0'),
                    id = "8000000000000005" + hex(name_hash("p1"));
  REQUIRE(name_hash("p1") % 16 != 0);
  const std::string all = dump(s.env);
  CHECK(all.find("packs.data " + id + " ") != std::string::npos);
  CHECK(all.find("packs.ids 703100 ") != std::string::npos);
  for (const std::string list : {"010000000000000000", "020000000000000000", "030000000000000000", "040000000000000000",
                                 "050000000000000000", "068000000000000003", "090000000000000060"})
    CHECK_MESSAGE(all.find("packs.lists " + task + list + zeros + " ") != std::string::npos, list);
  CHECK(all.find("packs.lists " + task + "08" + hex(name_hash("fragile")) + zeros + " ") != std::string::npos);
  CHECK(all.find("packs.counts " + task + "208000000000000000 010000000000000000000000\n") != std::string::npos);
  const auto entries = [&](const char* table) {
    return s.env.read([&](const ReadTxn& txn) { return txn.count(s.env.db(table)); }).value();
  };
  CHECK(entries("packs.lists") == 8);
  CHECK(entries("packs.counts") == 8 + 1 + 4);
  CHECK(entries("packs.tasks") == 1);
}
