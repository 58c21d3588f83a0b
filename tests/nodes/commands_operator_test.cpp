// packs, episodes, fleet and knowledge as an operator meets them: the program over real stores in a temporary folder.
#include <doctest/doctest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "actors/network/authority.hpp"
#include "actors/sync/central_store.hpp"
#include "actors/sync/robot_store.hpp"
#include "nodes/commands/table.hpp"
#include "storage/datapack_json.hpp"
#include "tests/nodes/program.hpp"
#include "tests/nodes/temp.hpp"
#include "tests/support/random_values.hpp"

using namespace drover;
using drover::test::drover_run;
using drover::test::has;
using drover::test::make_portable;
using drover::test::make_store;
using drover::test::must;
using drover::test::open_store;
using drover::test::Ran;
using drover::test::read_text;
using drover::test::TempDir;
using nlohmann::json;

namespace {

std::vector<Datapack> some_packs(size_t count) {
  test::Rng rng(11);
  std::vector<Datapack> packs;
  for (size_t i = 0; i < count; ++i) {
    packs.push_back(test::random_datapack(rng));
    if (packs.back().schema_version == schema_version_portable) make_portable(packs.back(), i);
  }
  return packs;
}

}  // namespace

TEST_CASE("nodes/packs: export, import and export again gives the same bytes, unknown fields included") {
  const TempDir dir;
  make_store(dir.file("a"), some_packs(50));
  make_store(dir.file("b"), {});
  REQUIRE(drover_run("packs export --store " + dir.file("a") + " " + dir.file("a.jsonl")).code == 0);
  Ran taken = drover_run("packs import --store " + dir.file("b") + " " + dir.file("a.jsonl"));
  CHECK(taken.code == 0);
  CHECK(has(taken, "imported 50, known before 0, conflicts 0, invalid 0"));
  taken = drover_run("packs import --json --store " + dir.file("b") + " - < " + dir.file("a.jsonl"));
  CHECK(json::parse(taken.text)["known"] == 50);
  REQUIRE(drover_run("packs export --store " + dir.file("b") + " " + dir.file("b.jsonl")).code == 0);
  const std::string text = read_text(dir.file("a.jsonl"));
  CHECK(text == read_text(dir.file("b.jsonl")));
  CHECK(text.find("\"x_0") != std::string::npos);  // there were unknown fields
  CHECK(drover_run("packs export --store " + dir.file("a") + " " + dir.file("b.jsonl")).code ==
        1);  // never over a file
}

TEST_CASE("nodes/packs: one file per task, and back by folder and by task") {
  const TempDir dir;
  const auto packs = some_packs(30);
  make_store(dir.file("a"), packs);
  make_store(dir.file("b"), {});
  REQUIRE(drover_run("packs export --store " + dir.file("a") + " --dir " + dir.file("out")).code == 0);
  CHECK(std::filesystem::exists(dir.file("out/ur3_cycle_datapacks.jsonl")));
  CHECK(has(drover_run("packs export --store " + dir.file("a") + " --dir " + dir.file("out")), "--append"));
  const Ran one =
      drover_run("packs import --json --task ur3_cycle --store " + dir.file("b") + " --dir " + dir.file("out"));
  const auto expected =
      std::count_if(packs.begin(), packs.end(), [](const Datapack& p) { return p.task_name == "ur3_cycle"; });
  CHECK(json::parse(one.text)["imported"] == expected);
  CHECK(json::parse(one.text)["other_task"] == 30 - expected);
}

TEST_CASE("nodes/packs: a bad line is named by file, line and field, and good ones can go on") {
  const TempDir dir;
  make_store(dir.file("s"), {});
  auto packs = some_packs(3);
  const std::string first = must(storage::datapack_to_json(packs[0]));
  const std::string last = must(storage::datapack_to_json(packs[2]));
  packs[1].attribution.trust_score = 1.5;
  const std::string invalid = must(storage::datapack_to_json(packs[1]));
  packs[0].env_type += "x";
  const std::string conflict = must(storage::datapack_to_json(packs[0]));
  const std::string file =
      dir.write("in.jsonl", first + "\n" + invalid + "\n{\"pack_id\":7}\n" + conflict + "\n" + last + "\n");
  const Ran stopped = drover_run("packs import --store " + dir.file("s") + " " + file);
  CHECK(stopped.code == 1);
  CHECK(has(stopped, file + ":2: "));
  CHECK(has(stopped, "trust_score"));
  CHECK(has(stopped, "imported 1, known before 0, conflicts 0, invalid 1"));
  const Ran went_on = drover_run("packs import --keep-going --store " + dir.file("s") + " " + file);
  CHECK(went_on.code == 1);
  CHECK(has(went_on, file + ":3:"));
  CHECK(has(went_on, "pack_id"));
  CHECK(has(went_on, file + ":4: "));
  CHECK(has(went_on, "imported 1, known before 1, conflicts 1, invalid 2"));
}

TEST_CASE("nodes/packs: lists, queries and statistics beside a writer; lines fit 120 columns") {
  const TempDir dir;
  const auto packs = some_packs(40);
  make_store(dir.file("s"), packs);
  const auto writer = open_store(dir.file("s"));
  const std::string at = " --store " + dir.file("s");
  uint64_t total = 0;
  const json stats = json::parse(drover_run("packs stats --json" + at).text);
  for (const json& task : stats["tasks"]) total += task["total"].get<uint64_t>();
  CHECK(total == 40);
  CHECK(json::parse(drover_run("packs query --json --full --limit 5" + at).text)["packs"].size() == 5);
  const Ran table = drover_run("packs list --limit 40" + at);
  CHECK(table.code == 0);
  size_t lines = 0;
  for (size_t start = 0; start < table.text.size(); ++lines) {
    const size_t end = table.text.find('\n', start);
    CHECK(end - start <= nodes::table_columns_max);
    start = end + 1;
  }
  CHECK(lines == 41);
  CHECK(has(drover_run("packs show " + packs[3].pack_id + at), packs[3].pack_id));
  CHECK(drover_run("packs show nobody" + at).code == 1);
  CHECK(drover_run("packs query --from yesterday" + at).code == 2);
  const Ran locked = drover_run("packs import" + at + " /dev/null");
  CHECK(locked.code == 1);
  CHECK(has(locked, "pid " + std::to_string(getpid())));
  CHECK(has(locked, "stop the coordinator"));
}

TEST_CASE("nodes/episodes: a robot's own store lists its episodes and gives its files back") {
  const TempDir dir;
  test::Rng rng(3);
  const Bytes content = test::random_bytes(rng, 600'000);
  Episode episode = test::random_episode(rng);
  episode.robot = "robot-1";
  episode.episode_id = "first";
  episode.blobs = {storage::describe_blob("../../log.csv", "text/csv", content.view())};
  {
    sync::RobotStoreOptions options;
    options.path = dir.file("r");
    options.robot = "robot-1";
    options.incarnation = 5;
    options.sync = storage::Sync::nosync;
    auto store = must(sync::RobotStore::open(options));
    sync::StoreCapture capture;
    capture.records.push_back({RecordKind::episode, 1, encode(episode)});
    const auto& chunks = episode.blobs[0].chunks;
    for (size_t i = 0; i < chunks.size(); ++i)
      capture.chunks.push_back({chunks[i].hash, Bytes::copy_of(storage::chunk_of(content.view(), i)), 1, "first"});
    must(store.store(capture, 1));
  }
  const std::string at = " --store " + dir.file("r");
  const json list = json::parse(drover_run("episodes list --json" + at).text);
  REQUIRE(list["episodes"].size() == 1);
  CHECK(list["episodes"][0]["episode_id"] == "first");
  CHECK(has(drover_run("episodes show robot-1 first" + at), "log.csv"));
  std::filesystem::create_directories(dir.file("out"));
  CHECK(drover_run("episodes export robot-1 first --out " + dir.file("out") + at).code == 0);
  CHECK(read_text(dir.file("out/log.csv")) == content.text());  // the robot's name chose no folder
  CHECK(drover_run("episodes export robot-1 first --out " + dir.file("out") + at).code == 1);  // nor over a file
  CHECK(has(drover_run("fleet forgive robot-1" + at), "store of a robot"));
  CHECK(has(drover_run("packs list --store " + dir.file("none")), "there is no store here"));
  CHECK(drover_run("packs list").code == 2);
}

TEST_CASE("nodes/knowledge: a robot's own store shows what the robot believes") {
  const TempDir dir;
  const std::string at = " --store " + dir.file("r");
  const auto key = must(generate_ed25519());
  sync::RobotStoreOptions options;
  options.path = dir.file("r");
  options.robot = "robot-1";
  options.incarnation = 5;
  options.sync = storage::Sync::nosync;
  options.knowledge_key = key.public_key;
  must(sync::RobotStore::open(options));
  CHECK(has(drover_run("knowledge show" + at), "no knowledge has been published yet"));
  {
    Knowledge knowledge;
    knowledge.version = 7;
    knowledge.author = "operator/ops";
    knowledge.documents["words"] = Bytes::copy_of(std::string_view("a b"));
    auto store = must(sync::RobotStore::open(options));
    must(store.apply_knowledge(encode(must(sign_knowledge(knowledge, key)))));
  }
  CHECK(has(drover_run("knowledge show" + at), "version 7"));
  CHECK(drover_run("knowledge show words" + at).text == "a b");
}

TEST_CASE("nodes/fleet: status names the quarantine, and forgiving ends it") {
  const TempDir dir;
  {
    const auto store = open_store(dir.file("s"));
    must(store->open_stream({"robot-1", 9}, 1000));
    for (const char* payload : {"one", "other"}) {
      BlockBuilder builder(1);
      must(builder.add(RecordKind::event, 1, 5, as_bytes(payload)));
      const storage::Incoming incoming{"robot-1", 9, must(Block::parse(builder.finish())), 2000};
      must(store->append(std::span(&incoming, 1)));
    }
  }
  const std::string at = " --store " + dir.file("s");
  CHECK(has(drover_run("fleet status" + at), "QUARANTINED"));
  CHECK(json::parse(drover_run("fleet status --json" + at).text)["quarantined"][0]["robot"] == "robot-1");
  CHECK(drover_run("fleet forgive robot-1" + at).code == 0);
  CHECK(drover_run("fleet forgive robot-1" + at).code == 1);  // it was not quarantined
  CHECK_FALSE(has(drover_run("fleet status" + at), "QUARANTINED"));
}

TEST_CASE("nodes/knowledge: versions rise, documents stay, signatures verify") {
  const TempDir dir;
  make_store(dir.file("s"), {});
  const auto key = must(network::create_signing_key());
  REQUIRE(network::write_new_file(dir.file("k.key"), key.private_key_pem, true));
  const std::string at = " --store " + dir.file("s");
  const std::string publish = "knowledge publish --signing-key " + dir.file("k.key") + at;
  CHECK(has(drover_run(publish + " words=" + dir.write("w", "a b")), "version 1"));
  CHECK(has(drover_run(publish + " econ=" + dir.write("e", "x = 1")), "version 2 with 2 documents"));
  CHECK(drover_run("knowledge show words" + at).text == "a b");
  CHECK(has(drover_run(publish + " words"), "NAME=FILE"));
  CHECK(drover_run(publish + " --remove words").code == 0);
  CHECK(drover_run("knowledge show words" + at).code == 1);
  const auto store = open_store(dir.file("s"));
  const auto signed_knowledge = must(decode_signed_knowledge(must(store->knowledge()).bytes));
  Ed25519Key public_key;
  const Bytes raw = must(network::raw_public_key(key.public_key_pem));
  std::copy(raw.view().begin(), raw.view().end(), public_key.begin());
  CHECK(verify_knowledge(signed_knowledge, public_key));
  CHECK(has(drover_run(publish + " a=" + dir.file("w")), "stop the coordinator"));
  CHECK(has(drover_run("knowledge publish a=" + dir.file("w") + at), "--signing-key"));
}

TEST_CASE("nodes/table: units and times for people") {
  using namespace drover::nodes;
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1536) == "1.5 KiB");
  CHECK(human_count(1234567) == "1,234,567");
  CHECK(human_duration(90'000'000'000) == "90.0 s");
  CHECK(must(parse_utc("1970-01-02")) == 86'400'000'000'000);
  CHECK(must(parse_utc("1970-01-01T00:00:01Z")) == 1'000'000'000);
  for (const char* wrong : {"", "1970", "1970-13-01", "1970-02-30", "1970-01-01T25:00:00", "1970-01-01T00:00:00x"})
    CHECK_FALSE(parse_utc(wrong));
  CHECK(plain_text("a\x1b[2Jb") == "a?[2Jb");
}
