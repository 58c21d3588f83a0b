// drover-smoke as a user starts it: exit codes, the report's JSON, and that a broken promise is noticed.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "drover-smoke-test-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path;
};

struct Outcome {
  int code = -1;
  std::string out;
  nlohmann::json json;
};

// Runs the program with a report folder of its own; `before` are variables of its environment.
Outcome run(const Folder& folder, const std::string& arguments, const std::string& before = "") {
  const std::string command = before + " '" DROVER_SMOKE_PROGRAM "' --report '" + folder.path + "/report' " +
                              arguments + " 2>'" + folder.path + "/stderr'";
  Outcome outcome;
  std::FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.out.append(buffer, n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.json = nlohmann::json::parse(outcome.out, nullptr, false);
  return outcome;
}

std::string read_text(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

const nlohmann::json* invariant(const nlohmann::json& report, const std::string& name) {
  for (const auto& check : report["invariants"])
    if (check["name"] == name) return &check;
  return nullptr;
}

}  // namespace

TEST_CASE("smoke: a fleet with faults keeps every promise, and says so") {
  const Folder folder;
  const Outcome run1 = run(folder, "--episodes 4 --world-episodes 2 --seed 7 --json");
  INFO(run1.out, read_text(folder.path + "/stderr"));
  REQUIRE(run1.code == 0);
  REQUIRE(run1.json.is_object());
  CHECK(run1.json["passed"] == true);
  CHECK(run1.json["seed"] == 7);
  CHECK(run1.json["invariants"].size() >= 19);
  const auto& metrics = run1.json["metrics"];
  CHECK(metrics["generated"] == true);
  CHECK(metrics["robot_kills"] == 1);
  CHECK(metrics["link_cuts"] == 1);
  CHECK(metrics["coordinator_kills"] == 1);
  CHECK(metrics["episodes"] >= 4 * 12);  // 12 logs; a gap cuts some episodes in two
  const int physics = metrics["world_episodes"]["episodes"];
  CHECK(metrics["episodes"] == metrics["episodes_expected"].get<int>() + physics);
  CHECK(metrics["datapacks"] == metrics["episodes"]);
  CHECK(physics + metrics["world_episodes"]["explained"].get<int>() == 4);
  CHECK(metrics["world_episodes"]["prefixes"] <= 1);  // of the robot that was killed
  for (const char* name : {"every physics episode is whole, or a labelled prefix",
                           "every episode that shows motion has its robot's segments", "segments speak the vocabulary",
                           "physics episodes equal an independent run of their seeds"}) {
    const auto* held = invariant(run1.json, name);
    REQUIRE(held != nullptr);
    CHECK((*held)["held"] == true);
  }
  const std::string page = read_text(folder.path + "/report/index.html");
  CHECK(page.find("<svg") != std::string::npos);
  CHECK(page.find("synthetic") != std::string::npos);
  if (metrics["world_episodes"]["pictures"] == 0)
    CHECK(page.find("There are no pictures: ") != std::string::npos);  // and why
  else
    CHECK(page.find("data:image/jpeg;base64,/9j/") != std::string::npos);
  CHECK(page.find("http") == std::string::npos);  // works offline
  CHECK(nlohmann::json::parse(read_text(folder.path + "/report/report.json"))["passed"] == true);
}

TEST_CASE("smoke: the same seed gives the same physics, another seed another") {
  const Folder folder;
  const auto detail = [&](const std::string& seed) {
    const Outcome done = run(folder, "--episodes 1 --world-episodes 1 --json --seed " + seed);
    INFO(done.out);  // which invariants were broken
    REQUIRE(done.json.is_object());
    CHECK(done.code == 0);
    const auto* physics = invariant(done.json, "physics episodes equal an independent run of their seeds");
    REQUIRE(physics != nullptr);
    CHECK((*physics)["held"] == true);
    return done.json["metrics"]["world_episodes"]["nominal_hash"].get<std::string>();
  };
  const std::string first = detail("3");
  CHECK(first == detail("3"));
  CHECK(first != detail("4"));
}

TEST_CASE("smoke: a machine that cannot draw says so and keeps every other promise") {
  const Folder folder;
  const Outcome dark = run(folder, "--episodes 1 --world-episodes 1 --json", "__EGL_VENDOR_LIBRARY_DIRS=/nonexistent");
  INFO(dark.out, read_text(folder.path + "/stderr"));
  CHECK(dark.code == 0);
  REQUIRE(dark.json.is_object());
  CHECK(dark.json["metrics"]["world_episodes"]["pictures"] == 0);
  CHECK(read_text(folder.path + "/report/index.html").find("There are no pictures: ") != std::string::npos);
}

TEST_CASE("smoke: a lost datapack is noticed and is exit code 1") {
  const Folder folder;
  const Outcome broken = run(folder, "--episodes 2 --world-episodes 0 --json", "DROVER_SMOKE_BREAK=drop");
  INFO(broken.out);
  CHECK(broken.code == 1);
  REQUIRE(broken.json.is_object());
  CHECK(broken.json["passed"] == false);
  const auto* arrived = invariant(broken.json, "each episode has its one datapack");
  REQUIRE(arrived != nullptr);
  CHECK((*arrived)["held"] == false);
  const auto* audit = invariant(broken.json, "drover audit balances");
  REQUIRE(audit != nullptr);
  CHECK((*audit)["held"] == false);
}

TEST_CASE("smoke: physics that is not that of its seed is noticed") {
  const Folder folder;
  const Outcome other = run(folder, "--episodes 1 --world-episodes 1 --json", "DROVER_SMOKE_BREAK=physics");
  CHECK(other.code == 1);
  REQUIRE(other.json.is_object());
  const auto* physics = invariant(other.json, "physics episodes equal an independent run of their seeds");
  REQUIRE(physics != nullptr);
  CHECK((*physics)["held"] == false);
}

TEST_CASE("smoke: a run that cannot drain in time says what is missing and is exit code 1") {
  const Folder folder;
  const Outcome late = run(folder, "--episodes 4 --world-episodes 1 --deadline 0.02 --json");
  CHECK(late.code == 1);
  REQUIRE(late.json.is_object());
  const auto* drained = invariant(late.json, "everything drained and stopped in order");
  REQUIRE(drained != nullptr);
  CHECK((*drained)["held"] == false);
  CHECK((*drained)["detail"].get<std::string>().find("still waiting") != std::string::npos);
}

TEST_CASE("smoke: a file of no known kind is listed and does not fail the run") {
  const Folder folder;
  fs::create_directories(folder.path + "/logs/deep");
  std::ofstream(folder.path + "/logs/broken.csv", std::ios::binary) << std::string("\x7f\x00\x01\xfe\xff", 5);
  std::ofstream(folder.path + "/logs/notes.txt") << "not a log";
  std::ofstream csv(folder.path + "/logs/deep/one.csv");
  csv << "time_s,power_w\n";
  for (int i = 0; i < 50; ++i) csv << i << "," << 20 + i % 5 << "\n";
  csv.close();
  const Outcome mixed = run(folder, "--logs '" + folder.path + "/logs' --world-episodes 0 --json");
  INFO(mixed.out, read_text(folder.path + "/stderr"));
  CHECK(mixed.code == 0);
  REQUIRE(mixed.json.is_object());
  CHECK(mixed.json["metrics"]["logs"] == 1);
  CHECK(mixed.json["metrics"]["logs_left_aside"] == 1);
  CHECK(mixed.json["metrics"]["generated"] == false);
  CHECK(mixed.out.find("broken.csv") != std::string::npos);
}

TEST_CASE("smoke: a wrong command line is exit code 2, an empty folder is exit code 4, help teaches") {
  const Folder folder;
  CHECK(run(folder, "--episode 3").code == 2);
  fs::create_directories(folder.path + "/empty");
  CHECK(run(folder, "--logs '" + folder.path + "/empty'").code == 4);
  CHECK(read_text(folder.path + "/stderr").find("holds no *.csv and no *.mcap") != std::string::npos);
  const Outcome help = run(folder, "--help");
  CHECK(help.code == 0);
  CHECK(help.out.find("Examples") != std::string::npos);
}

TEST_CASE("smoke: the real logs arrive whole") {
  const char* shared = std::getenv("DROVER_SHARED_DATA");
  if (shared == nullptr || !fs::is_directory(shared)) {
    MESSAGE("skipped: DROVER_SHARED_DATA is not set");
    return;
  }
  const Folder folder;
  const Outcome real = run(folder, "--logs '" + std::string(shared) + "' --world-episodes 0 --json");
  INFO(real.out, read_text(folder.path + "/stderr"));
  CHECK(real.code == 0);
  REQUIRE(real.json.is_object());
  CHECK(real.json["metrics"]["episodes"] == real.json["metrics"]["episodes_expected"]);
  CHECK(real.json["metrics"]["events"].contains("protective_stop"));
}
