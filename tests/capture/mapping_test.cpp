// Mapping files: every problem at once with file, line and key; patterns, globs, conditions; the choice of a kind.
#include <doctest/doctest.h>

#include "tests/capture/support.hpp"

namespace drover::capture::test {
namespace {

constexpr std::string_view minimal = R"(kind = "x"
format = "csv"
[match]
columns = ["t", "v"]
[clock]
column = "t"
format = "unix_s"
[task]
name = "task"
)";

std::shared_ptr<const Mapping> mapping(std::string_view text) {
  auto parsed = parse_mapping(text, "m.toml");
  if (!parsed) FAIL(parsed.error().what);
  return std::make_shared<const Mapping>(std::move(*parsed));
}

std::string problems(std::string_view text) {
  auto parsed = parse_mapping(text, "m.toml");
  return parsed ? "" : parsed.error().what;
}

}  // namespace

TEST_CASE("capture/mapping: all problems are reported at once, with file, line and key") {
  const std::string text = R"(kind = "Bad Kind"
format = "csv"
priority = "high"
colour = "red"
[match]
files = "*.csv"
topics = ["/a"]
[csv]
separator = ";;"
ragged = "drop"
line_bytes_max = 1
[clock]
column = "t"
format = "sundial"
utc_offset = "2h"
[[channel]]
column = "a_{i}"
name = "a"
[[channel]]
column = "b_{x}"
name = "b_{x}"
scale = "big"
[episode]
gap_s = -1
start_event = "nobody"
[[event]]
kind = "stop"
column = "s"
when = "~ 3"
severity = "fatal"
[[event]]
kind = "stop"
column = "s"
[energy]
method = "measured_power"
joint_name = "joint"
[task]
units_per_episode = true
[motion.move]
id = 1.5
)";
  const std::string expected =
      R"(m.toml:1: kind: may hold only a-z, 0-9 and _, because episode ids start with it
m.toml:3: priority: must be a whole number
m.toml:4: colour: unknown key; known here: auto_channels, channel, clock, csv, description, energy, episode, event, format, kind, match, motion, priority, task
m.toml:6: match.files: must be a list of texts
m.toml:7: match.topics: unknown key; known here: columns, files
m.toml:9: csv.separator: must be one character, "tab" or "auto"
m.toml:10: csv.ragged: unknown value "drop"; allowed: skip, pad, damage
m.toml:11: csv.line_bytes_max: must be in 64 to 67108864
m.toml:14: clock.format: unknown value "sundial"; allowed: iso8601, ymd_colon, unix_s, unix_ms, unix_us, unix_ns, uptime_s, row
m.toml:15: clock.utc_offset: must look like "+02:00" or "Z"
m.toml:18: channel[0].name: needs the placeholder of "column", or all columns would share one channel
m.toml:20: channel[1].column: a placeholder is {i} (digits) or {name} (any text)
m.toml:21: channel[1].name: a placeholder is {i} (digits) or {name} (any text)
m.toml:22: channel[1].scale: must be a number
m.toml:23: episode: start_event "nobody" is the kind of no [[event]]
m.toml:24: episode.gap_s: must be in 0 to 1000000000
m.toml:29: event[0].when: a condition is true, false, each, or one of > >= < <= == != and a number (or a text after == and !=)
m.toml:30: event[0].severity: unknown value "fatal"; allowed: info, warning, error
m.toml:32: event[1].kind: "stop" is there twice
m.toml:35: energy.method: measured_power needs "power", or "current" and "voltage"
m.toml:36: energy.joint_name: must be a name with {i} or {name}
m.toml:37: task.name: missing; it is required
m.toml:38: task.units_per_episode: must be a number
m.toml:40: motion.move.id: must be a whole number)";
  CHECK(problems(text) == expected);
}

TEST_CASE("capture/mapping: broken TOML and missing tables are problems, never exceptions") {
  CHECK(problems("kind = ").starts_with("m.toml:1: TOML: "));
  CHECK(problems("").find("m.toml:1: kind: missing; it is required") != std::string::npos);
  CHECK(problems("").find("task: missing; it names the task") != std::string::npos);
  CHECK(problems("kind = 3\nformat = 4\nmatch = 5\nchannel = 6\n")
            .find("m.toml:4: channel: must be tables: [[channel]]") != std::string::npos);
  std::string text(minimal);
  for (size_t i = 0; i < text.size(); ++i) (void)parse_mapping(std::string_view(text).substr(0, i), "m.toml");
  CHECK(problems(text).empty());
}

TEST_CASE("capture/mapping: every shipped mapping loads, and its kind is its file name") {
  const auto mappings = shipped_mappings();
  CHECK(mappings.size() >= 6);
  for (const auto& m : mappings) CHECK(file_name(m->file) == m->kind + ".toml");
  CHECK(load_mappings("/nowhere").error().code == Errc::not_found);
}

TEST_CASE("capture/mapping: patterns, globs and conditions") {
  const auto pattern = NamePattern::parse("Current_J{i}");
  REQUIRE(pattern);
  CHECK(pattern->match("Current_J12").value_or("") == "12");
  CHECK(!pattern->match("Current_J"));
  CHECK(!pattern->match("Current_Jx"));
  CHECK(pattern->expand("3") == "Current_J3");
  const auto any = NamePattern::parse("/joint_states:velocity[{name}]");
  CHECK(any->match("/joint_states:velocity[shoulder]").value_or("") == "shoulder");
  CHECK(!any->match("/joint_states:velocity[]"));
  CHECK(!NamePattern::parse("{i}{name}"));
  CHECK(!NamePattern::parse("{i"));
  CHECK(glob_match("*.csv", "A.CSV"));
  CHECK(glob_match("run_??.*", "run_01.csv"));
  CHECK(!glob_match("*.csv", "a.csv.part"));
  CHECK(glob_match("*a*b", "xxaxxbxb"));
  CHECK(!glob_match("", "x"));
  CHECK(Condition::parse("> 3.5")->holds(4.0));
  CHECK(!Condition::parse("> 3.5")->holds(3.5));
  CHECK(Condition::parse("<= -2")->holds(-2.0));
  CHECK(Condition::parse("== FAULT")->on_text());
  CHECK(Condition::parse("== FAULT")->holds(std::string_view("FAULT")));
  CHECK(Condition::parse("!= OK")->holds(std::string_view("FAULT")));
  CHECK(Condition::parse("false")->holds(0.0));
  for (const char* bad : {"", "yes", "3", "> x", "==", "=> 3"}) CHECK(!Condition::parse(bad));
}

TEST_CASE("capture/choice: the best fit wins; what fits nothing is refused with what was tried") {
  const auto narrow = mapping(minimal);
  const auto wide =
      mapping("kind = \"wide\"\nformat = \"csv\"\n[match]\n[clock]\nformat = \"row\"\n[task]\nname = \"t\"\n");
  CHECK((*choose_mapping("a.csv", memory("t,v\n1,2\n"), {wide, narrow}))->kind == "x");
  CHECK((*choose_mapping("a.csv", memory("q,v\n1,2\n"), {wide, narrow}))->kind == "wide");
  const auto none = choose_mapping("a.csv", memory("q,v\n1,2\n"), {narrow});
  REQUIRE(!none);
  CHECK(none.error().code == Errc::not_found);
  CHECK(none.error().message() ==
        "not_found: a.csv: no log kind fits this file (it looks like text). Known kinds: x: no column \"t\"");
  const auto refused = [](const std::string& name, std::string_view content, std::string_view why) {
    const auto choice = choose_mapping(name, memory(content), shipped_mappings());
    REQUIRE(!choice);
    CHECK_MESSAGE(choice.error().what.find(why) != std::string::npos, choice.error().what);
    CHECK(choice.error().what.find("ur3_cobotops") != std::string::npos);
  };
  refused("episode_000000.parquet", "PAR1\x15\x04", "Parquet");
  refused("a.csv", "", "empty");
  refused("a.csv",
          std::string_view("\xFF\xFE"
                           "a\0,\0",
                           6),
          "UTF-16");
  refused("a.csv",
          std::string_view("\x7F"
                           "ELF\1\1\0\0\0\0\0\0",
                           12),
          "binary");
  refused("notes.txt", "hello\n", "looks like text");
}

TEST_CASE("capture/choice: real files of other kinds are refused or read, never a crash") {
  const auto data = shared_data();
  if (!data) return;
  size_t parquet = 0;
  for (const auto& file : files_with(*data + "/lerobot_g1", ".parquet")) {
    const auto choice = choose_mapping(file_name(file), memory(read_file(file)), shipped_mappings());
    CHECK(!choice);
    ++parquet;
  }
  CHECK(parquet > 0);
}

TEST_CASE("capture/csv: ragged rows, unreadable times and blank cells follow the mapping") {
  const std::string text = "t,v\n1,10\n2\n3,30,9\nx,40\n5,\n6,60\n";
  const auto with = [&](const std::string& csv) {
    return read_log("a.csv", text, mapping("auto_channels = true\n" + std::string(minimal) + "[csv]\n" + csv));
  };
  Log log = with("ragged = \"skip\"");
  CHECK(log.report.rows == 3);
  CHECK(log.report.rows_skipped == 3);
  REQUIRE(log.episodes.size() == 1);
  CHECK(log.episodes[0].header.notes ==
        std::vector<std::string>{"2 rows skipped: the number of cells differs from the header (line 3, 4)",
                                 "1 rows skipped: the time cannot be read (line 5)"});
  CHECK(log.episodes[0].header.streams.at(1).samples == 2);
  CHECK(log.episodes[0].header.streams.at(1).missing == 1);
  log = with("ragged = \"pad\"\nblank = \"zero\"");
  CHECK(log.report.rows == 5);
  CHECK(log.episodes[0].header.streams.at(1).minimum == 0);
  log = with("ragged = \"pad\"\nblank = \"previous\"");
  CHECK(log.episodes[0].header.streams.at(1).mean == doctest::Approx((10 + 10 + 30 + 30 + 60) / 5.0));
  log = with("ragged = \"damage\"");
  CHECK(log.report.rows == 1);
  REQUIRE(log.report.damage);
  CHECK(log.report.damage->offset == 9);
  CHECK(!log.episodes.at(0).header.complete);
  log = with("missing_texts = [\"60\"]");
  CHECK(log.episodes[0].header.streams.at(1).samples == 1);
}

TEST_CASE("capture/csv: a torn last line is dropped and labelled; a whole one without line end is kept and noted") {
  const auto m = mapping("auto_channels = true\n" + std::string(minimal));
  Log log = read_log("a.csv", "t,v\n1,10\n2", m);
  REQUIRE(log.episodes.size() == 1);
  CHECK(log.episodes[0].header.rows == 1);
  CHECK(!log.episodes[0].header.complete);
  CHECK(log.report.damage.has_value());
  log = read_log("a.csv", "t,v\n1,10\n2,2", m);
  CHECK(log.episodes[0].header.rows == 2);
  CHECK(log.episodes[0].header.complete);
  CHECK(log.episodes[0].header.notes ==
        std::vector<std::string>{"the last line has no line end: its last cell may be cut short"});
}

TEST_CASE("capture/clock: steps back are clamped, skipped or cut as the mapping says") {
  const std::string text = "t,v\n10,1\n11,2\n10.5,3\n2,4\n3,5\n";
  const auto with = [&](const std::string& backward) {
    std::string toml(minimal);
    toml.insert(toml.find("[task]"), "backward = \"" + backward + "\"\n");
    return read_log("a.csv", text, mapping("auto_channels = true\n" + toml));
  };
  Log log = with("cut");
  REQUIRE(log.episodes.size() == 2);
  CHECK(log.episodes[0].header.rows == 3);
  CHECK(log.episodes[0].cut == CutReason::backward_clock);
  CHECK(log.episodes[0].duration_s == 1);
  CHECK(log.episodes[1].header.rows == 2);
  log = with("skip");
  CHECK(log.report.rows == 3);
  CHECK(log.report.rows_skipped == 2);
  log = with("clamp");
  REQUIRE(log.episodes.size() == 1);
  CHECK(log.episodes[0].header.rows == 5);
  CHECK(log.episodes[0].duration_s == 1);
}

TEST_CASE("capture/episode: cut by duration, by size, by a text event; events have lengths and errors count attempts") {
  std::string text = "t,v,state\n";
  for (int i = 0; i < 20; ++i)
    text +=
        std::to_string(100 + i) + "," + std::to_string(i) + "," + (i % 10 == 4 || i % 10 == 5 ? "FAULT" : "OK") + "\n";
  const std::string event =
      "[[event]]\nkind = \"fault\"\ncolumn = \"state\"\nwhen = \"== FAULT\"\ncounts_as_error = true\n";
  Log log = read_log("a.csv", text, mapping(std::string(minimal) + event + "[episode]\nmax_duration_s = 10\n"));
  REQUIRE(log.episodes.size() == 2);
  for (const auto& e : log.episodes) {
    check_invariants(e);
    CHECK(e.header.rows == 10);
    CHECK(e.header.outcome == "recovered");
    CHECK(e.errors == 1);
    CHECK(e.attempts == 2);
    REQUIRE(e.header.events.size() == 1);
    CHECK(e.header.events[0].duration_s == 2);
    CHECK(e.header.events[0].detail == "rows=2");
  }
  CHECK(log.episodes[0].duration_s == 10);  // to the first row of the next one
  CHECK(log.episodes[1].duration_s == 9);
  log = read_log("a.csv", text, mapping(std::string(minimal) + event + "[episode]\nstart_event = \"fault\"\n"));
  REQUIRE(log.episodes.size() == 3);
  CHECK(log.episodes[1].header.rows == 10);
  CHECK(log.episodes[0].header.outcome == "success");
  const auto file = memory(text);
  auto source = open_log("a.csv", file, Hash{}, mapping(minimal), {"robot-01", 0, 1u << 20, 100});
  REQUIRE(source);
  size_t count = 0;
  while (true) {
    const auto episode = (*source)->next();
    REQUIRE(episode);
    if (!*episode) break;
    CHECK((*episode)->slice.size() <= 100);
    ++count;
  }
  CHECK(count > 2);
}

TEST_CASE("capture/open: options and files out of bounds are refused") {
  const auto m = mapping(minimal);
  CHECK(open_log("a", memory("t,v\n"), Hash{}, m, {"", 0, 100, 100}).error().code == Errc::invalid_argument);
  CHECK(open_log("a", memory("t,v\n"), Hash{}, m, {"r", 0, 3, 100}).error().code == Errc::too_large);
  CHECK(open_log("a", memory("q,v\n"), Hash{}, m, {"r", 0, 100, 100}).error().code == Errc::not_found);
}

TEST_CASE("capture/readme: the worked example works as it is written") {
  const std::string readme = read_file(source_dir() + "/actors/capture/README.md");
  const auto block = [&](size_t& at, std::string_view fence) {
    at = readme.find(fence, at);
    REQUIRE(at != std::string::npos);
    const size_t begin = readme.find('\n', at) + 1, end = readme.find("```", begin);
    at = end + 3;
    return readme.substr(begin, end - begin);
  };
  size_t at = readme.find("A palletiser writes this");
  REQUIRE(at != std::string::npos);
  const std::string csv = block(at, "```");
  std::string toml = block(at, "```toml");
  toml += block(at, "```toml");
  toml += block(at, "```toml");
  const auto m = mapping(toml);
  const auto choice = choose_mapping("p.csv", memory(csv), {m, mapping_of_kind("csv_any")});
  REQUIRE(choice);
  CHECK((*choice)->kind == "palletiser");
  const Log log = read_log("p.csv", csv, m);
  REQUIRE(log.episodes.size() == 1);
  CHECK(log.episodes[0].header.cycle == 17);
  CHECK(log.episodes[0].header.streams.size() == 4);
  // Two joints: 24 V * (mean of 1.2 and 1.3 + 0.8) A * 0.1 s.
  CHECK(log.episodes[0].energy.total_J == doctest::Approx(24 * (1.25 + 0.8) * 0.1));
}

TEST_CASE("capture/readme: every key that the parser knows is documented, and no shipped table is unknown") {
  const std::string readme = read_file(source_dir() + "/configs/mappings/README.md");
  for (const char* format : {"csv", "mcap"}) {
    std::string text = "zzz = 1\nformat = ";
    text.append("\"").append(format).append("\"\n");
    for (const char* table : {"match", "csv", "clock", "episode", "energy", "task", "motion"})
      text.append("[").append(table).append("]\nzzz = 1\n");
    text += "[[channel]]\nzzz = 1\n[[event]]\nzzz = 1\n";
    const std::string what = problems(text);
    size_t keys = 0;
    for (size_t at = what.find("known here: "); at != std::string::npos; at = what.find("known here: ", at)) {
      at += 12;
      std::string list = what.substr(at, what.find('\n', at) - at) + ",";
      for (size_t comma = list.find(','); comma != std::string::npos; comma = list.find(',')) {
        const std::string key(trim(list.substr(0, comma)));
        list.erase(0, comma + 1);
        ++keys;
        CHECK_MESSAGE(readme.find(key) != std::string::npos, key);
      }
    }
    CHECK(keys > 40);
  }
}

TEST_CASE("capture/ur3: commas, points, quoted times and numeric alarms of other exports are read too") {
  const Log log = read_log("other.csv",
                           "Num,Timestamp,Current_J0,Speed_J0,Tool_current,cycle ,Robot_ProtectiveStop,grip_lost\n"
                           "1,\"\"\"2022-10-26T08:17:21.847Z\"\"\",0.5,0.1,0.08,1,0.0,False\n"
                           "2,\"2022-10-26T08:17:22.852Z\",0.5,0.1,0.08,1,1.0,TRUE\n"
                           "3,2022-10-26T08:17:23.857Z,0.5,0.1,0.08,1,,\n");
  CHECK(log.report.kind == "ur3_cobotops");
  REQUIRE(log.episodes.size() == 1);
  CHECK(log.report.rows == 3);
  CHECK(log.episodes[0].errors == 2);
  CHECK(log.episodes[0].duration_s == doctest::Approx(2.01));
}

TEST_CASE("capture/ur_rtde: blank-separated recordings on the controller's clock") {
  const Log log = read_log("robot_data.csv",
                           "timestamp actual_q_0 actual_qd_0 actual_robot_current actual_robot_voltage safety_mode\n"
                           "100.00 0.0 0.5 1.0 48.0 1\n100.10 0.05 0.5 1.0 48.0 1\n100.20 0.1 0.0 2.0 48.0 3\n");
  CHECK(log.report.kind == "ur_rtde_uptime");
  REQUIRE(log.episodes.size() == 1);
  CHECK(log.episodes[0].energy.total_J == doctest::Approx(48 * 0.1 + 72 * 0.1));
  CHECK(log.episodes[0].header.outcome == "failure");
}

TEST_CASE("capture/limits: absurd readings are missing, sums stay finite") {
  const Log log =
      read_log("a.csv",
               "timestamp,actual_q_0,actual_qd_0,target_moment_0,actual_robot_current,actual_robot_voltage\n"
               "1,1e308,1e200,1e200,1e200,1e200\n2,-1e308,1e300,-1e300,1,48\n3,0,1e300,1e300,1,48\n");
  REQUIRE(log.episodes.size() == 1);
  check_invariants(log.episodes[0]);
  CHECK(log.episodes[0].energy.total_J == doctest::Approx(48));
}

TEST_CASE("capture/energy: no integration across long gaps or blanks beyond gap_s; what was skipped is said") {
  const Log log = read_log("a.csv",
                           "timestamp,actual_q_0,actual_qd_0,actual_robot_current,actual_robot_voltage\n"
                           "1.0,0,0,1,10\n1.5,0,0,1,10\n1.8,0,0,,\n2.0,0,0,1,10\n6.0,0,0,1,10\n6.5,0,0,3,10\n");
  REQUIRE(log.episodes.size() == 1);
  const EnergyResult& energy = log.episodes[0].energy;
  CHECK(energy.total_J == doctest::Approx(10 * 0.5 + 10 * 0.5 + 20 * 0.5));  // gap_s is 1 there; the blank is bridged
  CHECK(energy.integrated_s == doctest::Approx(1.5));
  CHECK(energy.not_integrated_s == doctest::Approx(4.0));
  CHECK(energy.peak_W == 30);
  check_invariants(log.episodes[0]);
}

TEST_CASE("capture/motion: moves, dwells and stops with their energies; short steps join the one before") {
  const std::string toml = std::string(minimal) +
                           "[[channel]]\ncolumn = \"v\"\nname = \"v\"\n[[channel]]\ncolumn = \"p\"\nname = \"p\"\n"
                           "[[event]]\nkind = \"stop\"\ncolumn = \"s\"\nstops_motion = true\n"
                           "[energy]\nmethod = \"measured_power\"\npower = \"p\"\n[motion]\nvelocity = \"v\"\n";
  const std::string csv =
      "t,v,p,s\n0,1,10,0\n1,1,10,0\n2,0,10,0\n3,1,10,0\n4,1,10,0\n5,1,10,1\n6,0,10,0\n7,0,10,0\n8,0,10,0\n";
  const auto names = [](const Log& log) {
    std::string out;
    for (const auto& step : log.episodes.at(0).steps)
      out += step.name.substr(0, 1) + std::to_string(static_cast<int>(step.energy_J)) + " ";
    return out;
  };
  Log log = read_log("a.csv", csv, mapping(toml));
  CHECK(names(log) == "M20 D10 M20 S10 D20 ");
  check_invariants(log.episodes[0]);
  CHECK(log.episodes[0].steps[3].outcome == "failure");
  CHECK(log.episodes[0].energy.per_skill_J.at("MOVE") == 40);
  log = read_log("a.csv", csv, mapping(toml + "min_step_s = 1.5\n"));
  CHECK(names(log) == "M50 S10 D20 ");
  check_invariants(log.episodes[0]);
}

TEST_CASE("capture/choice: priority goes before the number of demands") {
  const std::string wide =
      "kind = \"wide\"\npriority = 1\nformat = \"csv\"\n[match]\n[clock]\nformat = \"row\"\n[task]\nname = \"t\"\n";
  const auto choice = choose_mapping("a.csv", memory("t,v\n1,2\n"), {mapping(minimal), mapping(wide)});
  REQUIRE(choice);
  CHECK((*choice)->kind == "wide");
}

}  // namespace drover::capture::test
