// Golden messages: bytes that an earlier version wrote must decode to the same values for ever.
//
// tests/messages/golden/v1/*.bin were written once by schema version 1 and are never rewritten. A new
// schema version adds a folder and its own cases. To write the files of a version that has none yet:
// DROVER_WRITE_GOLDEN=1 test_messages -tc="messages/golden*"; existing files are left as they are.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "messages/knowledge.hpp"
#include "messages/packet.hpp"
#include "messages/record.hpp"
#include "messages/schema/session.capnp.h"

using namespace drover;
namespace fs = std::filesystem;

namespace {

Hash hash_of(uint8_t first) {
  Hash hash;
  for (size_t i = 0; i < hash.size(); ++i) hash[i] = static_cast<std::byte>(first + i);
  return hash;
}

Condition golden_condition() {
  Condition c;
  c.task_name = "drawer_vase";
  c.engine_type = "mujoco";
  c.world_id = "mj_drawer_v1";
  c.vase_offset_m = {0.05, -0.02, 0.0};
  c.drawer_friction = 0.3;
  c.lighting_profile = "dim";
  c.occlusion_level = 0.25;
  c.econ_preset = "drawer_vase";
  c.price_per_unit = 5;
  c.vase_break_cost = 50;
  c.energy_price_kWh = 0.12;
  c.objective_vector = {1, 1, 1, 0.5};
  c.tags_json = R"({"shift":"night"})";
  c.extra_json = R"({"new_field":1})";
  return c;
}

Attribution golden_attribution() {
  Attribution a;
  a.delta_mpl = -0.25;
  a.delta_error = 0.5;
  a.delta_ep = 0.125;
  a.delta_J = -0.625;
  a.trust_score = 0.9;
  a.w_econ = 0.75;
  a.lambda_budget = 0.2;
  a.source_type = SourceType::hybrid;
  a.wm_model_id = "wm_v1";
  a.wm_horizon_used = 16;
  a.wm_branch_depth = 2;
  a.wm_trust_over_horizon = std::vector<double>{0.9, 0.8};
  a.mvd_score = 0.421875;
  a.econ_weight_final = 0.675;
  a.used_in_training_runs = {"run-1", "run-2"};
  a.wm_role = "wm_train";
  a.skill_contribs = {{3, {{"duration_s", 1.5}, {"uses", 1}}}};
  a.extra_json = R"({"a":null})";
  return a;
}

Energy golden_energy() {
  Energy e;
  e.total_Wh = 0.5;
  e.Wh_per_unit = 0.5;
  e.Wh_per_hour = 30;
  e.per_limb = {{"arm", {{"Wh", 0.5}}}};
  e.per_skill = {{"GRASP_HANDLE", {{"Wh", 0.25}}}, {"OPEN_WITH_CLEARANCE", {{"Wh", 0.25}}}};
  e.per_joint = {{"joint_0", {{"Wh", 0.125}, {"share", 0.25}}}, {"joint_1", {{"Wh", 0.375}, {"share", 0.75}}}};
  e.per_effector = {{"gripper", {{"Wh", 0.5}}}};
  e.coordination_metrics = {{"mean_active_joints", 2.5}};
  e.limb_energy_Wh = {{"arm", 0.5}};
  e.skill_energy_Wh = {{"GRASP_HANDLE", 0.25}};
  e.extra_json = R"({"b":[]})";
  return e;
}

Datapack golden_datapack() {
  Datapack p;
  p.schema_version = schema_version_portable;
  p.pack_id = "dp-golden";
  p.task_name = "drawer_vase";
  p.env_type = "drawer_vase";
  p.brick_id = "brick-7";
  p.bucket = Bucket::negative;
  p.semantic_tags = {"fragile", "offset_vase", "caf\xc3\xa9"};
  p.energy_driver_tags = {"energy_driver:long_reach"};
  p.provenance = {"robot-07", "ep-1", 1'700'000'000'000'000'000, 1'700'000'060'000'000'000, "world:drawer"};
  p.condition = golden_condition();
  p.attribution = golden_attribution();
  p.energy = golden_energy();
  p.agent_profile_json = R"({"policy":"scripted"})";
  p.episode_metrics_json = R"({"mpl":45})";
  p.skill_trace = {{3, 0, 1.5, "success", R"({"name":"GRASP_HANDLE"})"}, {4, 1.5, 4, "failure", ""}};
  p.sima_annotation = SimaAnnotation{"open the drawer", {"grasp", "pull"}, "sima_v1", "mj_drawer_v1", {3, 4}, "{}"};
  p.vla_plan_json = R"({"plan":[3,4]})";
  p.counterfactual_plan_json = R"({"kind":"avoid_errors"})";
  p.counterfactual_source = "rule:v1";
  p.scene_tracks_json = R"({"version":["v1"]})";
  p.rgb_features_json = R"({"dim":64})";
  p.slice_labels_json = R"({"is_dynamic":true})";
  p.raw_data_path = "raw/ep-1";
  p.extra_json = R"({"unknown":18446744073709551615})";
  return p;
}

Episode golden_episode() {
  Episode e;
  e.episode_id = "ep-1";
  e.robot = "robot-07";
  e.task_name = "pick_place";
  e.source_kind = "ur3_cobotops";
  e.source_name = "log.csv";
  e.source_hash = hash_of(1);
  e.start_unix_ns = 1'700'000'000'000'000'000;
  e.end_unix_ns = 1'700'000'060'000'000'000;
  e.cycle = 42;
  e.rows = 60;
  e.outcome = "recovered";
  e.events = {{1'700'000'030'000'000'000, "protective_stop", "error", "row 31", 2.5}};
  e.streams = {{"joint_0.current", "A", 60, 2, -1.5, 3.25, 0.5}};
  e.blobs = {{"slice.csv", "text/csv", 300, hash_of(2), {{hash_of(3), 256}, {hash_of(4), 44}}}};
  e.complete = false;
  e.notes = {"2 blank cells"};
  e.extra_json = R"({"shift":1})";
  e.value_per_byte = 0.001;
  return e;
}

Event golden_event() {
  return {5, "source_damaged", "warning", "log.mcap", "ends at byte 812"};
}
Receipt golden_receipt() {
  return {6, "chunk", hash_of(9), 262144, "quota", 0.5, "ep-1", true};
}
Enrichment golden_enrichment() {
  return {"dp-golden", "semantics", R"({"tag":"fragile"})", 7};
}
Outcome golden_outcome() {
  return {"dp-golden", "customer-1", R"({"mpl":50})", 8};
}
Knowledge golden_knowledge() {
  Knowledge k;
  k.version = 12;
  k.created_unix_ns = 9;
  k.author = "coordinator";
  k.documents = {{"ontology", Bytes::copy_of("{}")}, {"policy", Bytes::copy_of("bits")}};
  return k;
}
SignedKnowledge golden_signed_knowledge() {
  SignedKnowledge s;
  s.body = encode(golden_knowledge());
  for (size_t i = 0; i < s.signature.size(); ++i) s.signature[i] = static_cast<std::byte>(i);
  for (size_t i = 0; i < s.key_id.size(); ++i) s.key_id[i] = static_cast<std::byte>(0xf0 + i);
  return s;
}

Bytes golden_block() {
  BlockBuilder builder(100);
  REQUIRE(builder.add(RecordKind::episode, 1, 1, encode(golden_episode())));
  REQUIRE(builder.add(RecordKind::datapack, 1, 2, encode(golden_datapack())));
  REQUIRE(builder.add(RecordKind::event, 1, 3, as_bytes("odd")));
  return builder.finish();
}

Bytes golden_hello() {
  return Packet<schema::Hello>::build([](schema::Hello::Builder b) {
           auto node = b.initNode();
           node.setNodeId("robot-07");
           node.setRole(schema::Role::ROBOT);
           node.setSoftwareVersion("0.1.0");
           node.setProtocolMin(1);
           node.setProtocolMax(2);
           b.setIncarnation(3);
           b.setFirstSeq(4);
           b.setLastSeq(5);
           b.setKnowledgeVersion(6);
         })
      .bytes();
}
Bytes golden_welcome() {
  return Packet<schema::Welcome>::build([](schema::Welcome::Builder b) {
           b.initNode().setRole(schema::Role::COORDINATOR);
           b.setProtocol(1);
           b.setDurableSeq(77);
           b.setKnowledgeVersion(12);
           b.setWindowBytes(1 << 20);
           b.setMaxBlockBytes(1 << 18);
           b.setSessionId(99);
         })
      .bytes();
}
Bytes golden_ack() {
  return Packet<schema::Ack>::build([](schema::Ack::Builder b) {
           b.setDurableSeq(78);
           b.setStatus(schema::AckStatus::CONFLICT);
           b.setMessage("record seq 79");
         })
      .bytes();
}

Bytes golden_want() {
  return Packet<schema::ChunkWant>::build([](schema::ChunkWant::Builder b) {
           const Hash hash = hash_of(5);
           b.setHash({reinterpret_cast<const kj::byte*>(hash.data()), hash.size()});
           b.setOffset(4096);
           b.setSizeBytes(262144);
         })
      .bytes();
}
Bytes golden_status() {
  return Packet<schema::NodeStatus>::build([](schema::NodeStatus::Builder b) {
           b.setJournalLastSeq(10);
           b.setJournalAckedSeq(9);
           b.setStoreBytes(1 << 20);
           b.setBlobBacklogBytes(4096);
           b.setCaptureStopped(true);
           b.setAlarm("quota");
         })
      .bytes();
}
Bytes golden_pong() {
  return Packet<schema::Pong>::build([](schema::Pong::Builder b) {
           b.setDurableSeq(9);
           b.setKnowledgeVersion(12);
           b.setChunksWanted(2);
           b.setTimeUnixNs(1'700'000'000'000'000'000);
         })
      .bytes();
}

fs::path golden_dir() {
  const char* dir = std::getenv("DROVER_SOURCE_DIR");
  return dir == nullptr ? fs::path() : fs::path(dir) / "tests/messages/golden/v1";
}

// The golden bytes of `name`; writes `now` first where the file is missing and writing was asked for.
Bytes golden(const std::string& name, const Bytes& now) {
  const fs::path path = golden_dir() / (name + ".bin");
  if (std::getenv("DROVER_WRITE_GOLDEN") != nullptr && !fs::exists(path)) {
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << now.text();
  }
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path.string() << " cannot be read");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return Bytes::copy_of(text);
}

template <class T, class Decode>
void stays_readable(const std::string& name, const T& pinned, Decode decode) {
  const auto value = decode(golden(name, encode(pinned)).view());
  REQUIRE_MESSAGE(value, name << ": " << (value ? "" : value.error().message()));
  CHECK_MESSAGE(*value == pinned, name);
}

bool skipped() {
  if (!golden_dir().empty()) return false;
  MESSAGE("skipped: DROVER_SOURCE_DIR is not set");
  return true;
}

}  // namespace

TEST_CASE("messages/golden v1: every record kind decodes to its pinned values") {
  if (skipped()) return;
  stays_readable("datapack", golden_datapack(), decode_datapack);
  stays_readable("episode", golden_episode(), decode_episode);
  stays_readable("event", golden_event(), decode_event);
  stays_readable("receipt", golden_receipt(), decode_receipt);
  stays_readable("enrichment", golden_enrichment(), decode_enrichment);
  stays_readable("outcome", golden_outcome(), decode_outcome);
  stays_readable("knowledge", golden_knowledge(), decode_knowledge);
  stays_readable("signed_knowledge", golden_signed_knowledge(), decode_signed_knowledge);
}

TEST_CASE("messages/golden v1: an empty message of every kind decodes to the defaults of the schema") {
  if (skipped()) return;
  stays_readable("event_empty", Event{0, "", "", "", ""}, decode_event);
  stays_readable("datapack_default", Datapack{}, decode_datapack);
}

TEST_CASE("messages/golden v1: a block reads back record by record with right hashes") {
  if (skipped()) return;
  const auto block = Block::parse(golden("block", golden_block()));
  REQUIRE_MESSAGE(block, (block ? "" : block.error().message()));
  REQUIRE(block->verify_hashes());
  REQUIRE(block->count() == 3);
  CHECK(block->first_seq() == 100);
  CHECK(decode_episode(block->record(0).payload).value() == golden_episode());
  CHECK(decode_datapack(block->record(1).payload).value() == golden_datapack());
  CHECK(as_text(block->record(2).payload) == "odd");
  CHECK(block->record(2).time_unix_ns == 3);
  CHECK(to_hex(block->record(2).hash) == "32e2c2832aaad38c11677a83c0e2e43658696471ce2f63aac91aa96b258b0d57");
}

TEST_CASE("messages/golden v1: session messages keep their meaning") {
  if (skipped()) return;
  const auto hello =
      read_flat<schema::Hello>(golden("hello", golden_hello()), "hello", [](schema::Hello::Reader r) -> Result<bool> {
        CHECK(r.getNode().getNodeId() == "robot-07");
        CHECK(r.getNode().getRole() == schema::Role::ROBOT);
        CHECK(r.getNode().getSoftwareVersion() == "0.1.0");
        CHECK(r.getNode().getProtocolMin() == 1);
        CHECK(r.getNode().getProtocolMax() == 2);
        CHECK(r.getIncarnation() == 3);
        CHECK(r.getFirstSeq() == 4);
        CHECK(r.getLastSeq() == 5);
        CHECK(r.getKnowledgeVersion() == 6);
        return true;
      });
  CHECK(hello);
  const auto welcome = read_flat<schema::Welcome>(golden("welcome", golden_welcome()), "welcome",
                                                  [](schema::Welcome::Reader r) -> Result<bool> {
                                                    CHECK(r.getNode().getRole() == schema::Role::COORDINATOR);
                                                    CHECK(r.getProtocol() == 1);
                                                    CHECK(r.getDurableSeq() == 77);
                                                    CHECK(r.getKnowledgeVersion() == 12);
                                                    CHECK(r.getWindowBytes() == 1 << 20);
                                                    CHECK(r.getMaxBlockBytes() == 1 << 18);
                                                    CHECK(r.getSessionId() == 99);
                                                    return true;
                                                  });
  CHECK(welcome);
  const auto ack =
      read_flat<schema::Ack>(golden("ack", golden_ack()), "ack", [](schema::Ack::Reader r) -> Result<bool> {
        CHECK(r.getDurableSeq() == 78);
        CHECK(r.getStatus() == schema::AckStatus::CONFLICT);
        CHECK(r.getMessage() == "record seq 79");
        return true;
      });
  CHECK(ack);
}

TEST_CASE("messages/golden v1: pings and chunk wants keep their meaning") {
  if (skipped()) return;
  CHECK(read_flat<schema::ChunkWant>(golden("chunk_want", golden_want()), "chunk_want",
                                     [](schema::ChunkWant::Reader r) -> Result<bool> {
                                       const Hash hash = hash_of(5);
                                       REQUIRE(r.getHash().size() == hash.size());
                                       CHECK(std::memcmp(r.getHash().begin(), hash.data(), hash.size()) == 0);
                                       CHECK(r.getOffset() == 4096);
                                       CHECK(r.getSizeBytes() == 262144);
                                       return true;
                                     }));
  CHECK(read_flat<schema::NodeStatus>(golden("node_status", golden_status()), "node_status",
                                      [](schema::NodeStatus::Reader r) -> Result<bool> {
                                        CHECK(r.getJournalLastSeq() == 10);
                                        CHECK(r.getJournalAckedSeq() == 9);
                                        CHECK(r.getStoreBytes() == 1 << 20);
                                        CHECK(r.getBlobBacklogBytes() == 4096);
                                        CHECK(r.getCaptureStopped());
                                        CHECK(r.getAlarm() == "quota");
                                        return true;
                                      }));
  CHECK(read_flat<schema::Pong>(golden("pong", golden_pong()), "pong", [](schema::Pong::Reader r) -> Result<bool> {
    CHECK(r.getDurableSeq() == 9);
    CHECK(r.getKnowledgeVersion() == 12);
    CHECK(r.getChunksWanted() == 2);
    CHECK(r.getTimeUnixNs() == 1'700'000'000'000'000'000);
    return true;
  }));
}
