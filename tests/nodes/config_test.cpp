// Configuration: one declaration, everything from it, all problems at once.
#include <doctest/doctest.h>

#include <filesystem>
#include <random>
#include <set>

#include "nodes/config/load.hpp"
#include "nodes/config/nearest.hpp"
#include "nodes/config/units.hpp"
#include "tests/nodes/temp.hpp"

using namespace drover;
using namespace drover::nodes;
using drover::test::read_text;
using drover::test::TempDir;

namespace {

// "#key = value" lines (a default that is shown) become "key = value".
std::string uncomment_defaults(const std::string& text) {
  std::string out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const bool shown = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    out.append(shown ? line.substr(1) : line).append("\n");
  }
  return out;
}

void flatten(const Value& value, const std::string& path, std::set<std::string>& out) {
  if (value.kind == Value::Kind::table) {
    for (const auto& [key, member] : value.members) flatten(member, path.empty() ? key : path + "." + key, out);
  } else if (value.kind == Value::Kind::list && !value.items.empty() && value.items[0].kind == Value::Kind::table) {
    for (const Value& item : value.items) flatten(item, path + "[]", out);
  } else {
    out.insert(path);
  }
}

template <class Config>
std::set<std::string> declared_keys() {
  Config config;
  Fields fields;
  describe(fields, config);
  const auto keys = fields.keys();
  return {keys.begin(), keys.end()};
}

template <class Config>
void check_shipped(const std::string& component, const std::string& document) {
  const std::string file = std::string(DROVER_SOURCE) + "/configs/" + component + ".toml";
  const std::string text = read_text(file);
  CAPTURE(file);
  // Made by: drover config defaults <component> > configs/<component>.toml
  CHECK(text == document);
  const auto loaded = load_config<Config>({file, {}});
  REQUIRE_MESSAGE(loaded, (loaded ? "" : loaded.error().message()));

  // Every declared key is documented, nothing else is, and what is shown as a default is the default.
  const std::string all = uncomment_defaults(text);
  const auto parsed = parse_toml_value(all, component);
  REQUIRE(parsed);
  std::set<std::string> documented;
  flatten(*parsed, "", documented);
  CHECK(documented == declared_keys<Config>());
  const TempDir dir;
  const auto spelled_out = load_config<Config>({dir.write("all.toml", all), {}});
  const auto shipped = load_config<Config>({dir.write("shipped.toml", text), {}});
  REQUIRE_MESSAGE(spelled_out, (spelled_out ? "" : spelled_out.error().message()));
  REQUIRE(shipped);
  CHECK(effective_config(*spelled_out) == effective_config(*shipped));
}

std::string problems_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const TempDir dir;
  const std::string file = dir.write("robot.toml", text);
  const auto config = load_config<RobotConfig>({file, overrides});
  if (config) return "";
  std::string out = config.error().what;
  for (size_t at = out.find(file); at != std::string::npos; at = out.find(file)) out.replace(at, file.size(), 1, 'F');
  return out;
}

const std::string good_robot = "[node]\nid = \"r1\"\n[store]\ndir = \"store\"\n";

}  // namespace

TEST_CASE("nodes/config: the shipped simulated robot loads, and its world is there") {
  const auto loaded = load_config<RobotConfig>({std::string(DROVER_SOURCE) + "/configs/robot-sim.toml", {}});
  REQUIRE_MESSAGE(loaded, (loaded ? "" : loaded.error().message()));
  CHECK(std::filesystem::exists(loaded->world.dir + "/world.toml"));
  CHECK(loaded->coordinator.address.empty());
}

TEST_CASE("nodes/config: recordings are not mixed with the logs of others; what acts must be known") {
  const std::string text =
      "[node]\nid = \"r\"\n[store]\ndir = \"s\"\n[knowledge]\npublic_key_file = \"\"\n"
      "[[capture.spool]]\npath = \"in\"\n[world]\ndir = \"w\"\n";
  CHECK(problems_of(text) == "");
  CHECK(problems_of(text + "recordings_dir = \"in\"\n").find("must not be a capture.spool") != std::string::npos);
  CHECK(problems_of(text + "policy = \"magic\"\n").find("world.policy: must be script") != std::string::npos);
  CHECK(problems_of(text + "recordings_dir = \"\"\n").find("must not be empty") != std::string::npos);
  CHECK(problems_of(text + "jpeg_quality = 101\nwaiting_max = 0\n").find("2 problems") != std::string::npos);
}

TEST_CASE("nodes/config: the shipped files document exactly the declared keys and their defaults") {
  check_shipped<RobotConfig>("robot", document_robot_config());
  check_shipped<CoordinatorConfig>("coordinator", document_coordinator_config());
}

TEST_CASE("nodes/config: every limit of the actors is a key") {
  // A new field changes the size: declare it in describe() and say its new size here.
  CHECK(sizeof(network::Limits) == 136);
  CHECK(sizeof(sync::OutboxLimits) == 16);
  CHECK(sizeof(sync::BlobLaneLimits) == 40);
}

TEST_CASE("nodes/config: all problems come at once, each with line, key and what is allowed") {
  const std::string text =
      "[node]\n"                       // 1
      "id = \"Robot 7\"\n"             // 2
      "[store]\n"                      // 3
      "map_max_byts = \"1GiB\"\n"      // 4
      "quota_bytes = \"5 bushels\"\n"  // 5
      "[capture]\n"                    // 6
      "poll_ms = \"2ms\"\n"            // 7
      "stable_polls = 1.5\n"           // 8
      "[[capture.spool]]\n"            // 9
      "mapping = 3\n"                  // 10
      "[[capture.spool]]\n"            // 11
      "path = \"x\"\n"                 // 12
      "mappin = \"y\"\n"               // 13
      "[coordinator]\n"                // 14
      "address = \"nohost\"\n"         // 15
      "[log]\n"                        // 16
      "format = \"xml\"\n"             // 17
      "level = 3\n"                    // 18
      "[sync]\n"                       // 19
      "ping_period_ms = 7\n"           // 20
      "tls = 1\n";                     // 21
  CHECK(problems_of(text, {"network.window_bytes=3", "foo=bar", "nonsense"}) ==
        "17 problems\n"
        "  F:2: node.id: is \"Robot 7\", allowed is 1 to 64 of a-z 0-9 . _ -\n"
        "  F:3: store.dir: missing, and it has no default, for example \"/var/lib/drover/robot\"\n"
        "  F:4: store.map_max_byts: unknown key; did you mean store.map_max_bytes?\n"
        "  F:5: store.quota_bytes: must be a size such as \"64MiB\" or whole bytes, is text (\"5 bushels\")\n"
        "  F:7: capture.poll_ms: is 2ms, allowed is 10ms .. 1h\n"
        "  F:8: capture.stable_polls: must be a whole number, is a number (1.5)\n"
        "  F:9: capture.spool[0].path: missing, and it has no default, for example \"/var/spool/drover\"\n"
        "  F:10: capture.spool[0].mapping: must be text, is a whole number (3)\n"
        "  F:13: capture.spool[1].mappin: unknown key; did you mean capture.spool[1].mapping?\n"
        "  F:15: coordinator.address: is \"nohost\"; write it as host:port, for example \"127.0.0.1:7447\" or "
        "\"[::1]:7447\"\n"
        "  F:17: log.format: is \"xml\", allowed is one of \"text\", \"json\"\n"
        "  F:18: log.level: must be one of \"debug\", \"info\", \"warn\", \"error\", is a whole number (3)\n"
        "  F:20: sync.ping_period_ms: unknown key; did you mean network.ping_period_ms?\n"
        "  F:21: sync.tls: unknown key\n"
        "  --set: nonsense: write it as key=value\n"
        "  --set: network.window_bytes: is 3B, allowed is 64KiB .. 256MiB\n"
        "  --set: foo: unknown key");
}

TEST_CASE("nodes/config: a syntax error names line and column") {
  const TempDir dir;
  const auto config = load_config<RobotConfig>({dir.write("r.toml", "[node]\nid = \n"), {}});
  REQUIRE(!config);
  CHECK(config.error().code == Errc::invalid_argument);
  CHECK(config.error().where.find("r.toml:2:") != std::string::npos);
  const auto missing = load_config<RobotConfig>({dir.file("none.toml"), {}});
  REQUIRE(!missing);
  CHECK(missing.error().code == Errc::not_found);
  CHECK(!load_config<RobotConfig>({dir.file(""), {}}));
}

TEST_CASE("nodes/config: rules between keys are checked with the place of the key") {
  CHECK(problems_of(good_robot + "[sync]\nblock_max_bytes = \"8MiB\"\nwindow_bytes = \"4MiB\"\n") ==
        "1 problem\n  F:6: sync.block_max_bytes: must not be above sync.window_bytes");
  CHECK(problems_of(good_robot + "[coordinator]\naddress = \"c:1\"\n[tls]\nca_file = \"\"\n") ==
        "1 problem\n  F:8: tls.ca_file: must not be empty when coordinator.address is set");
  CHECK(problems_of(good_robot + "[network]\nbackoff_min_ms = \"20s\"\n").find("F:6: network.backoff_min_ms: ") !=
        std::string::npos);
}

TEST_CASE("nodes/config: values, overrides and paths arrive in the struct") {
  const TempDir dir;
  const std::string file = dir.write("robot.toml", good_robot +
                                                       "map_initial_bytes = \"2MiB\"\n[capture]\npoll_ms = \"1.5s\"\n"
                                                       "spool = [{path = \"in\"}, {path = \"/abs\", mapping = \"m\"}]\n"
                                                       "[log]\nformat = \"json\"\n");
  const auto config = load_config<RobotConfig>({file, {"node.seed=9", "store.dir=/other place", "log.level=\"warn\""}});
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message()));
  CHECK(config->node.id == "r1");
  CHECK(config->node.seed == 9);
  CHECK(config->store.dir == "/other place");
  CHECK(config->store.map_initial_bytes == 2u << 20);
  CHECK(config->capture.poll_ms == 1500);
  CHECK(config->capture.mappings_dir == dir.file("mappings"));  // defaults count from the file's folder too
  REQUIRE(config->capture.spools.size() == 2);
  CHECK(config->capture.spools[0].path == dir.file("in"));
  CHECK(config->capture.spools[0].mapping == "auto");
  CHECK(config->capture.spools[1].path == "/abs");
  CHECK(config->capture.spools[1].mapping == "m");
  CHECK(config->log.format == LogConfig::Format::json);
  CHECK(config->log.level == LogConfig::Level::warn);
  CHECK(config->knowledge.public_key_file == dir.file("pki/knowledge.pub"));
}

TEST_CASE("nodes/config: a file that is cut anywhere or has a wrong byte is an error or a config, never a crash") {
  const TempDir dir;
  const std::string text = uncomment_defaults(document_robot_config());
  const uint32_t seed = 20260131;
  INFO("seed ", seed);
  std::mt19937 random(seed);
  size_t errors = 0;
  for (int round = 0; round < 400; ++round) {
    std::string damaged = text.substr(0, random() % text.size());
    for (int flips = round % 3; flips > 0 && !damaged.empty(); --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    errors += load_config<RobotConfig>({dir.write("r.toml", damaged), {}}) ? 0 : 1;
  }
  CHECK(errors > 0);
  CHECK(errors < 400);
}

TEST_CASE("nodes/config: durations and sizes") {
  CHECK(parse_duration_ms("250ms") == 250);
  CHECK(parse_duration_ms("5s") == 5000);
  CHECK(parse_duration_ms(" 1.5 s ") == 1500);
  CHECK(parse_duration_ms("2min") == 120'000);
  CHECK(parse_duration_ms("2h") == 7'200'000);
  CHECK(parse_duration_ms("1d") == 86'400'000);
  for (const char* bad : {"", "5", "s", "-1s", "+1s", "1e3ms", "0.5ms", "1.2.3s", "5 m", "5S", "9223372036854775807s",
                          "99999999999999999999ms", "nans", "infs", ".s", "0x10s"}) {
    CAPTURE(bad);
    CHECK(!parse_duration_ms(bad));
  }
  CHECK(parse_size_bytes("64MiB") == 64 << 20);
  CHECK(parse_size_bytes("1 kB") == 1000);
  CHECK(parse_size_bytes("0.5GiB") == 1 << 29);
  CHECK(parse_size_bytes("0B") == 0);
  for (const char* bad : {"", "5", "5b", "5 mib", "0.3B", "8388608TiB", "1KiBs"}) {
    CAPTURE(bad);
    CHECK(!parse_size_bytes(bad));
  }
  CHECK(format_duration_ms(1500) == "1500ms");
  CHECK(format_duration_ms(3'600'000) == "1h");
  CHECK(format_duration_ms(0) == "0s");
  CHECK(format_size_bytes(1536) == "1536B");
  CHECK(format_size_bytes(int64_t{3} << 30) == "3GiB");
  std::mt19937_64 random(7);
  for (int round = 0; round < 2000; ++round) {
    const auto value = static_cast<int64_t>(random() >> (1 + random() % 62));
    CHECK(parse_duration_ms(format_duration_ms(value)) == value);
    CHECK(parse_size_bytes(format_size_bytes(value)) == value);
  }
}

TEST_CASE("nodes/config: addresses and node ids") {
  for (const char* good : {"a:1", "10.0.0.1:7447", "[::1]:65535", "robot.local:80"})
    CHECK(check_address(good, false).empty());
  for (const char* bad : {"", "a", ":1", "a:", "a:0", "a:65536", "a:x", "::1:5", "a b:1", "a:1 ", "[::1:5", "a:-1"}) {
    CAPTURE(bad);
    CHECK(!check_address(bad, false).empty());
  }
  CHECK(check_address("a:0", true).empty());
  CHECK(check_node_id("robot-07.b_c").empty());
  for (const std::string bad : {"", "R", "a/b", "a b", "\xc3\xa4"}) CHECK(!check_node_id(bad).empty());
  CHECK(!check_node_id(std::string(65, 'a')).empty());
}

TEST_CASE("nodes/config: did you mean") {
  const std::vector<std::string> known{"robot", "coordinator", "config", "enroll", "packs"};
  CHECK(nearest_name("robto", known) == "robot");
  CHECK(nearest_name("cordinator", known) == "coordinator");
  CHECK(nearest_name("confg", known) == "config");
  CHECK(nearest_name("xyzzy", known).empty());
  CHECK(nearest_name("", known).empty());
  CHECK(edit_distance("abc", "acb") == 1);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance(std::string(100'000, 'a'), "b") == 100'000);  // hostile length stays cheap
}
