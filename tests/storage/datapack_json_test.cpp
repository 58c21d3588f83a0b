// Datapacks as JSON: nothing is lost, and errors say where.
#include "storage/datapack_json.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "storage/datapack_json_scan.hpp"
#include "tests/storage/datapack_model.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::test;

namespace {

Datapack parse(const std::string& text) {
  auto pack = datapack_from_json(text);
  REQUIRE_MESSAGE(pack.has_value(), (pack ? std::string() : pack.error().message()) << " in " << text);
  return std::move(*pack);
}
std::string print(const Datapack& pack) {
  auto text = datapack_to_json(pack);
  REQUIRE_MESSAGE(text.has_value(), (text ? std::string() : text.error().message()));
  return std::move(*text);
}
std::string where(const std::string& text) {
  const auto pack = datapack_from_json(text);
  return pack ? "accepted" : pack.error().where;
}

// Everything `in` says, `out` says with the same digits; `out` may add defaults.
bool keeps(std::string_view in, std::string_view out) {
  if (json::is_object(in)) {
    if (!json::is_object(out)) return false;
    const auto have = json::members(out);
    for (const auto& m : json::members(in)) {
      const auto at = std::find_if(have.begin(), have.end(), [&](const auto& h) { return h.key == m.key; });
      if (at == have.end() || !keeps(m.value, at->value)) return false;
    }
    return true;
  }
  if (json::is_array(in)) {
    if (!json::is_array(out)) return false;
    const auto a = json::items(in), b = json::items(out);
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i)
      if (!keeps(a[i], b[i])) return false;
    return true;
  }
  if (json::is_string(in)) {
    std::string a, b;
    if (!json::is_string(out)) return false;
    const bool text_a = json::unescape(in, a), text_b = json::unescape(out, b);
    return text_a && text_b ? a == b : in == out;
  }
  if (json::is_number(in) && json::is_number(out)) {
    const auto number = [](std::string_view t) { return nlohmann::json::parse(t).get<double>(); };
    return in == out || (number(in) == number(out) && in.size() <= 20);
  }
  return in == out;
}

const std::string seed_line =
    R"({"schema_version":"2.0-energy","pack_id":"p1","task_name":"drawer_vase","env_type":"drawer","brick_id":null,)"
    R"("bucket":"negative","semantic_tags":["fragile","offset_vase"],"energy_driver_tags":["energy_driver:long_reach"],)"
    R"("condition":{"task_name":"drawer_vase","engine_type":"pybullet","world_id":"pyb_drawer_v1",)"
    R"("vase_offset":[0.10,0.0,-0.05],"drawer_friction":0.3,"lighting_profile":"normal","occlusion_level":0,)"
    R"("econ_preset":"drawer_vase","price_per_unit":5.0,"vase_break_cost":50.0,"energy_price_kWh":0.12,)"
    R"("objective_vector":[1.0,1.0,1.0,0.5],"tags":{"n":18446744073709551616,"x":0.10},"weather":"dry"},)"
    R"("attribution":{"delta_mpl":0.12345678901234567890123,"delta_error":0.1,"delta_ep":-0.2,"delta_J":-1.5,)"
    R"("trust_score":1,"w_econ":0.75,"lambda_budget":0.2,"source_type":"real","wm_model_id":null,"wm_horizon_used":null,)"
    R"("wm_trust_over_horizon":[0.9,0.8],"mvd_score":null,"used_in_training_runs":[],"wm_role":"wm_train",)"
    R"("skill_contribs":{"3":{"success":1.0}},"novel":{"deep":[1,[2,[3,{"a":[]}]]]}},)"
    R"("energy":{"total_Wh":0.5,"Wh_per_unit":0.5,"Wh_per_hour":12.0,"energy_per_limb":{"shoulder":{"Wh":0.5}},)"
    R"("energy_per_skill":{},"energy_per_joint":{},"energy_per_effector":{},)"
    R"("coordination_metrics":{"mean_active_joints":2.5},"limb_energy_Wh":{},"skill_energy_Wh":{},"grid":"dc"},)"
    R"("agent_profile":{"policy":"scripted","seed":123456789012345678901234567890},)"
    R"("skill_trace":[{"skill_id":3,"start_s":0.0,"end_s":1.5,"outcome":"failure","grip":{"force_N":12}}],)"
    R"("episode_metrics":{"mpl":0.1},"sima_annotation":{"instruction":"open \u00e9\ud83e\udd16\u0001","step_narrations":["","a"],)"
    R"("sima_agent_id":"sima_v1","source_world":"w","derived_skill_plan":[0,1,2],"mood":null},"vla_plan":null,)"
    R"("counterfactual_plan":{"kind":"slow_down"},"counterfactual_source":"rule","provenance":{"robot":"r1",)"
    R"("episode_id":"e","start_unix_ns":-5,"end_unix_ns":9223372036854775807,"source":"","wheel":4},)"
    R"("lone":"\ud800","raw_data_path":"","big":1e999})";

}  // namespace

TEST_CASE("storage/datapack_json: every field of the schema is read, and written back with every digit") {
  const Datapack p = parse(seed_line);
  CHECK(validate(p));
  CHECK(p.condition.vase_offset_m == std::vector<double>{0.1, 0.0, -0.05});
  CHECK(p.attribution.delta_mpl == 0.12345678901234568);
  CHECK(p.attribution.skill_contribs.at(3).at("success") == 1.0);
  CHECK(!p.attribution.mvd_score.has_value());
  CHECK(p.energy.per_limb.at("shoulder").at("Wh") == 0.5);
  CHECK(p.sima_annotation->instruction == "open \xc3\xa9\xf0\x9f\xa4\x96\x01");
  CHECK(p.sima_annotation->step_narrations == std::vector<std::string>{"", "a"});
  CHECK(p.provenance.end_unix_ns == INT64_MAX);
  CHECK(p.agent_profile_json == R"({"policy":"scripted","seed":123456789012345678901234567890})");
  CHECK(p.skill_trace[0].extra_json == R"({"grip":{"force_N":12}})");
  const std::string out = print(p);
  CHECK(keeps(*json::scan(seed_line), *json::scan(out)));
  CHECK(out.find("0.12345678901234567890123") != std::string::npos);
  CHECK(out.find(R"("brick_id":null)") != std::string::npos);
  CHECK(out.find(R"("mvd_score":null)") != std::string::npos);
  CHECK(out.find(R"("raw_data_path":"")") != std::string::npos);
  CHECK(out.find(R"("wheel":4)") != std::string::npos);
  CHECK(out.find(R"("big":1e999)") != std::string::npos);
  CHECK(parse(out) == p);
  CHECK(print(parse(out)) == out);
}

TEST_CASE("storage/datapack_json: random packs come back equal, through text and through the store") {
  Rng rng(1);
  TempStore s;
  for (int i = 0; i < 1500; ++i) {
    const Datapack p = random_datapack(rng);
    const std::string text = print(p);
    REQUIRE(text.find('\n') == std::string::npos);
    const auto foreign = nlohmann::json::parse(text, nullptr, false);  // another reader agrees that it is JSON
    REQUIRE(!foreign.is_discarded());
    REQUIRE(foreign["pack_id"] == p.pack_id);
    REQUIRE(foreign["attribution"]["delta_J"] == p.attribution.delta_J);
    const Datapack back = parse(text);
    REQUIRE_MESSAGE(back == p, text);
    const auto decoded = decode_datapack(encode(back));
    REQUIRE(decoded);
    REQUIRE(print(*decoded) == text);
  }
}

TEST_CASE("storage/datapack_json: random text keeps every part of it on the way through the store") {
  Rng rng(2);
  for (int i = 0; i < 1500; ++i) {
    // Fields go away, become null or are joined by strangers, at every level.
    std::string line(1, '{');
    const Datapack p = random_datapack(rng);
    const std::string text = print(p);
    for (const auto& m : json::members(text)) {
      if (chance(rng, 12)) continue;
      std::string value(m.value);
      if (json::is_object(m.value) && chance(rng, 3)) {
        value.assign(1, '{');
        value.append(json_text(std::string("stranger ").append(test::text(rng)))).append(": ").append(json_object(rng));
        value.append(json::members(m.value).empty() ? "" : " , ").append(m.value.substr(1));
      }
      if (line.size() > 1) line.push_back(',');
      line.append(json_text(std::string(m.key)));
      line.append(":\t");
      line.append(value);
    }
    for (const char* name : {"brick_id", "vla_plan", "raw_data_path", "counterfactual_source"})
      if (line.find(json_text(name).append(":")) == std::string::npos && chance(rng, 2))
        line.append(line.size() > 1 ? "," : "").append(json_text(name)).append(": null");
    line.append("}");
    if (!json::scan(line)) continue;  // a stranger met its twin
    const auto pack = datapack_from_json(line);
    REQUIRE_MESSAGE(pack.has_value(), (pack ? std::string() : pack.error().message()) << " in " << line);
    const auto stored = decode_datapack(encode(*pack));
    REQUIRE(stored);
    const std::string out = print(*stored);
    REQUIRE_MESSAGE(keeps(*json::scan(line), *json::scan(out)), line << "\n" << out);
    REQUIRE(parse(out) == *pack);
  }
}

TEST_CASE(
    "storage/datapack_json: a portable pack says that it has no raw data, and is the same pack when it is read back") {
  Datapack p = parse(seed_line);
  p.extra_json.clear();
  CHECK(print(p).find("raw_data_path") == std::string::npos);
  p.schema_version = schema_version_portable;
  const std::string text = print(p);
  CHECK(text.find(R"("raw_data_path":null)") != std::string::npos);
  CHECK(parse(text) == p);
  CHECK(parse(R"({"schema_version":"2.1-portable","raw_data_path":null})") ==
        parse(R"({"schema_version":"2.1-portable"})"));
  CHECK(print(parse(R"({"schema_version":"2.1-portable","raw_data_path":""})")).find(R"("raw_data_path":"")") !=
        std::string::npos);
  p.raw_data_path = p.pack_id;
  CHECK(print(p).find(R"("raw_data_path":"p1")") != std::string::npos);
  CHECK(where(R"({"schema_version":"2.1-portable","raw_data_path":7})") == "1:50 raw_data_path");
}

TEST_CASE("storage/datapack_json: errors name line, column and field") {
  CHECK(where("") == "1:1");
  CHECK(where("{") == "1:2");
  CHECK(where("[]") == "1:1");
  CHECK(where("{} x") == "1:4");
  CHECK(where("{\n \"a\": nul}") == "2:7");
  CHECK(where(R"({"attribution":{"delta_J":"1"}})") == "1:27 attribution.delta_J");
  CHECK(where(R"({"attribution":{"delta_J":NaN}})") == "1:27");
  CHECK(where(R"({"attribution":{"delta_J":1e999}})") == "1:27 attribution.delta_J");
  CHECK(where(R"({"attribution":{"trust_score":null}})") == "1:31 attribution.trust_score");
  CHECK(where(R"({"attribution":{"skill_contribs":{"x":{}}}})") == "1:39 attribution.skill_contribs.x");
  CHECK(where(R"({"attribution":{"wm_horizon_used":9223372036854775808}})") == "1:35 attribution.wm_horizon_used");
  CHECK(where(R"({"energy":{"energy_per_limb":{"a":{"Wh":[]}}}})") == "1:41 energy.energy_per_limb.a.Wh");
  CHECK(where(R"({"skill_trace":[{"skill_id":1},{"skill_id":1.5}]})") == "1:44 skill_trace.1.skill_id");
  CHECK(where(R"({"semantic_tags":["a",7]})") == "1:23 semantic_tags.1");
  CHECK(where(R"({"bucket":"good"})") == "1:11 bucket");
  CHECK(where(R"({"pack_id":"\ud800"})") == "1:12 pack_id");
  CHECK(where(R"({"a":1,"a":2})") == "1:14");
  CHECK(where(R"({"a":01})") == "1:7");
  CHECK(where("{\"a\":\"\x80\"}") == "1:7");
  CHECK(where("{\"a\":\"\x01\"}") == "1:7");
  CHECK(where(std::string(100, '[')) == "1:66");
}

TEST_CASE("storage/datapack_json: text that is cut or bent anywhere gives a pack or an error") {
  Rng rng(std::random_device{}());
  const uint64_t seed = rng();
  rng.seed(seed);
  INFO("seed " << seed);
  for (size_t cut = 0; cut < seed_line.size(); ++cut) CHECK(!datapack_from_json(seed_line.substr(0, cut)));
  for (int i = 0; i < 20'000; ++i) {
    std::string text = seed_line;
    for (uint64_t n = 1 + below(rng, 3); n > 0; --n)
      text[below(rng, text.size())] =
          chance(rng, 2) ? static_cast<char>(rng()) : pick(rng, {"{", "}", "\"", ",", "\\"})[0];
    const auto pack = datapack_from_json(text);
    if (!pack) continue;
    const auto out = datapack_to_json(*pack);
    if (out) REQUIRE(datapack_from_json(*out).has_value());
  }
}

TEST_CASE("storage/datapack_json: unknown fields cannot overrule known ones") {
  Datapack p = parse(seed_line);
  p.attribution.extra_json = R"({"delta_J":5,"mvd_score":null,"w_econ":0.750})";
  p.attribution.mvd_score = 2.5;
  const std::string out = print(p);
  CHECK(out.find(R"("delta_J":-1.5)") != std::string::npos);
  CHECK(out.find(R"("delta_J":5)") == std::string::npos);
  CHECK(out.find(R"("mvd_score":2.5)") != std::string::npos);
  CHECK(out.find(R"("w_econ":0.750)") != std::string::npos);
  p.vla_plan_json = "{broken";
  CHECK(!datapack_to_json(p));
  p.vla_plan_json.clear();
  p.energy.extra_json = "[]";
  CHECK(!datapack_to_json(p));
}
