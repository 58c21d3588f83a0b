// Fleet queries over real stores: answers, errors that name the field, bounds.
#include "actors/fleet/query.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "storage/datapack_json.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;
using nlohmann::json;

namespace {

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().message());
  return std::move(*result);
}

// A store with one stream of a robot: episodes, events, one record that is refused, and datapacks.
struct Fixture {
  std::string path = (std::filesystem::temp_directory_path() / "drover-fleet-XXXXXX").string();
  std::unique_ptr<sync::CentralStore> store;
  std::vector<Datapack> packs;
  std::vector<Episode> episodes;

  explicit Fixture(size_t count) {
    REQUIRE(::mkdtemp(path.data()) != nullptr);
    sync::CentralStoreOptions options;
    options.path = path;
    options.sync = storage::Sync::nosync;
    options.map_initial_bytes = 1u << 20;
    store = must(sync::CentralStore::open(options));
    fill(count);
  }
  ~Fixture() {
    store.reset();
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }

  void fill(size_t count) {
    test::Rng rng(7);
    BlockBuilder builder(1);
    for (size_t i = 0; i < count; ++i) {
      Datapack pack = test::random_datapack(rng);
      pack.provenance.robot = "robot-1";
      Episode episode = test::random_episode(rng);
      episode.robot = "robot-1";
      episode.episode_id = test::labelled("episode-", i);
      must(builder.add(RecordKind::episode, 1, 5, encode(episode).view()));
      must(builder.add(RecordKind::datapack, 1, 5, encode(pack).view()));
      packs.push_back(pack);
      episodes.push_back(episode);
    }
    must(builder.add(RecordKind::event, 1, 5, encode(Event{5, "disk", "warning", "robot", "\"odd\xff"}).view()));
    must(builder.add(RecordKind::episode, 1, 5, as_bytes("no episode at all")));
    const sync::StreamId stream{"robot-1", 77};
    must(store->open_stream(stream, 1000));
    const storage::Incoming incoming{"robot-1", 77, must(Block::parse(builder.finish())), 2000};
    REQUIRE(must(store->append(std::span(&incoming, 1))).front().status == storage::AppendStatus::ok);
    while (must(store->apply(stream, 1u << 20)).more) continue;
  }

  json ask(const json& request) const { return json::parse(must(fleet::run_query(*store, request.dump()))); }
  Error refused(const std::string& request) const {
    const auto reply = fleet::run_query(*store, request);
    REQUIRE_FALSE(reply);
    return reply.error();
  }
};

}  // namespace

TEST_CASE("fleet/query: facts tell streams, counts and what was rejected") {
  const Fixture f(20);
  const json facts = f.ask({{"call", "store.facts"}});
  CHECK(facts["counts"]["episodes"] == 20);
  CHECK(facts["counts"]["packs"] == 20);
  CHECK(facts["counts"]["events"] == 1);
  CHECK(facts["counts"]["rejected"] == 1);
  REQUIRE(facts["streams"].size() == 1);
  const json& stream = facts["streams"][0];
  CHECK(stream["robot"] == "robot-1");
  CHECK(stream["incarnation"] == 77);
  CHECK(stream["durable_seq"] == 42);
  CHECK(stream["applied_seq"] == 42);
  CHECK(facts["quarantined"].empty());
  const json rejected = f.ask({{"call", "rejected.list"}});
  REQUIRE(rejected["rejected"].size() == 1);
  CHECK(rejected["rejected"][0]["seq"] == 42);
  CHECK(rejected["rejected"][0]["kind"] == "episode");
}

TEST_CASE("fleet/query: packs answer every filter as a look at every pack would") {
  const Fixture f(60);
  for (const char* bucket : {"positive", "negative"}) {
    size_t expected = 0;
    for (const Datapack& p : f.packs)
      expected += p.task_name == "ur3_cycle" && bucket_name(p.bucket) == bucket && p.attribution.trust_score >= 0.3;
    const json reply = f.ask({{"call", "packs.query"},
                              {"task_name", "ur3_cycle"},
                              {"bucket", bucket},
                              {"min_trust", 0.3},
                              {"limit", 1000},
                              {"explain", true}});
    CHECK(reply["packs"].size() == expected);
    CHECK_FALSE(reply["plan"].get<std::string>().empty());
    for (const json& row : reply["packs"]) CHECK(row["bucket"] == bucket);
  }
  uint64_t total = 0;
  const json stats = f.ask({{"call", "packs.stats"}});
  for (const json& task : stats["tasks"]) {
    CHECK(task["positive"].get<uint64_t>() + task["negative"].get<uint64_t>() == task["total"].get<uint64_t>());
    total += task["total"].get<uint64_t>();
  }
  CHECK(total == 60);
  CHECK(f.ask({{"call", "packs.list"}, {"limit", 7}})["packs"].size() == 7);
  uint64_t uses = 0, steps = 0;
  for (const Datapack& p : f.packs)
    if (p.task_name == "ur3_cycle") steps += p.skill_trace.size();
  const json skills = f.ask({{"call", "packs.skills"}, {"task_name", "ur3_cycle"}});
  for (const json& skill : skills["skills"])
    uses += skill["uses"].get<uint64_t>();
  CHECK(uses == steps);
}

TEST_CASE("fleet/query: a shown pack is the pack to the last digit, unknown fields too") {
  const Fixture f(10);
  for (const Datapack& pack : f.packs) {
    const std::string reply =
        must(fleet::run_query(*f.store, json{{"call", "packs.show"}, {"pack_id", pack.pack_id}}.dump()));
    const std::string text = must(storage::datapack_to_json(pack));
    CHECK(reply == "{\"pack\":" + text + "}");
    CHECK(must(storage::datapack_from_json(text)) == pack);
  }
  CHECK(f.refused(R"({"call":"packs.show","pack_id":"nobody"})").code == Errc::not_found);
}

TEST_CASE("fleet/query: episodes, events and knowledge") {
  const Fixture f(5);
  CHECK(f.ask({{"call", "episodes.list"}})["episodes"].size() == 5);
  CHECK(f.ask({{"call", "episodes.list"}, {"robot", "robot-2"}})["episodes"].empty());
  const json one = f.ask({{"call", "episodes.show"}, {"robot", "robot-1"}, {"episode_id", "episode-3"}});
  CHECK(one["episode"]["rows"] == f.episodes[3].rows);
  CHECK(one["blobs"].size() == f.episodes[3].blobs.size());
  for (const json& blob : one["blobs"]) CHECK(blob["chunks_held"] == 0);
  const json events = f.ask({{"call", "events.list"}, {"robot", "robot-1"}});
  REQUIRE(events["events"].size() == 1);
  CHECK(events["events"][0]["kind"] == "disk");  // its odd byte did not spoil the answer
  CHECK(f.ask({{"call", "knowledge.show"}})["version"] == 0);

  const auto key = must(generate_ed25519());
  Knowledge knowledge{1, 9, "centre", {{"plain", Bytes::copy_of("a\nb")}, {"raw", Bytes::copy_of("\xff\x00")}}};
  must(f.store->publish(1, encode(must(sign_knowledge(knowledge, key))).view()));
  CHECK(f.ask({{"call", "knowledge.show"}})["documents"].size() == 2);
  CHECK(f.ask({{"call", "knowledge.show"}, {"name", "plain"}})["text"] == "a\nb");
  CHECK(f.ask({{"call", "knowledge.show"}, {"name", "raw"}})["hex"] == "ff");
}

TEST_CASE("fleet/query: what is wrong with a request is named") {
  const Fixture f(1);
  const std::vector<std::pair<std::string, std::string>> wrong{
      {R"({"call":"packs.burn"})", "call"},
      {R"({})", "call"},
      {R"({"call":7})", "call"},
      {R"([])", "request"},
      {R"({"call":"packs.query","limit":0})", "limit"},
      {R"({"call":"packs.query","limit":1.5})", "limit"},
      {R"({"call":"packs.query","skill_id":18446744073709551615})", "skill_id"},
      {R"({"call":"packs.query","bucket":"good"})", "bucket"},
      {R"({"call":"packs.query","tags":"x"})", "tags"},
      {R"({"call":"packs.query","tags":[1]})", "tags"},
      {R"({"call":"packs.query","min_trust":"high"})", "min_trust"},
      {R"({"call":"packs.query","engine_type":"steam"})", "engine_type"},
      {R"({"call":"packs.query","include_sima":1})", "include_sima"},
      {R"({"call":"packs.query","colour":1})", "colour"},
      {R"({"call":"packs.show"})", "pack_id"},
      {R"({"call":"packs.positive_for_skill","task_name":"t"})", "skill_id"},
      {R"({"call":"episodes.show","robot":"r"})", "episode_id"},
  };
  for (const auto& [request, field] : wrong) {
    CAPTURE(request);
    const Error error = f.refused(request);
    CHECK(error.code == Errc::invalid_argument);
    CHECK(error.where == field);
  }
  CHECK(f.refused("{\"call\":").where.starts_with("request "));
  CHECK(f.refused(std::string(100'000, '[')).code == Errc::invalid_argument);
}

TEST_CASE("fleet/query: every call is bounded, and says when it left something out") {
  const Fixture f(40);
  for (const size_t bytes : {400u, 2'000u, 8'000u}) {
    for (const char* request : {R"({"call":"packs.query","limit":1000,"full":true})", R"({"call":"packs.list"})",
                                R"({"call":"episodes.list"})"}) {
      const std::string reply = must(fleet::answer_query(*f.store, request, {bytes}));
      CHECK(reply.size() <= bytes);
      CHECK(json::parse(reply)["truncated"] == true);
    }
  }
  const auto shown =
      fleet::answer_query(*f.store, json{{"call", "packs.show"}, {"pack_id", f.packs[0].pack_id}}.dump(), {200});
  REQUIRE_FALSE(shown);
  CHECK(shown.error().code == Errc::too_large);
  CHECK_FALSE(f.ask({{"call", "packs.list"}}).contains("truncated"));
}

TEST_CASE("fleet/query: every call of the table answers or says what it needs") {
  const Fixture f(2);
  for (const std::string& call : fleet::query_calls()) {
    const auto reply = fleet::run_query(*f.store, json{{"call", call}}.dump());
    if (!reply) CHECK(reply.error().code == Errc::invalid_argument);
    if (!reply) CHECK(reply.error().where != "call");
  }
}
