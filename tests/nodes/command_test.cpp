// The drover command as a user meets it: exit codes, suggestions, siblings, enrolment.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>

#include "nodes/commands/credentials.hpp"
#include "tests/nodes/temp.hpp"

using namespace drover;
using namespace drover::nodes;
using drover::test::read_text;
using drover::test::TempDir;

namespace {

struct Outcome {
  int code = -1;
  std::string text;  // stdout and stderr
};

Outcome drover_run(const std::string& words, const std::string& environment = "") {
  const std::string line = environment + " '" DROVER_PROGRAM "' " + words + " 2>&1";
  std::FILE* pipe = popen(line.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Outcome out;
  char buffer[4096];
  for (size_t size = 0; (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.text.append(buffer, size);
  const int status = pclose(pipe);
  out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

bool has(const Outcome& outcome, const std::string& text) {
  return outcome.text.find(text) != std::string::npos;
}

unsigned mode_of(const std::string& file) {
  struct stat facts {};
  REQUIRE(stat(file.c_str(), &facts) == 0);
  return facts.st_mode & 0777;
}

}  // namespace

TEST_CASE("nodes/drover: help teaches, and a mistyped command gets a suggestion") {
  const Outcome help = drover_run("help");
  CHECK(help.code == 0);
  CHECK(has(help, "enroll"));
  CHECK(has(help, "Examples"));
  CHECK(drover_run("").code == 2);
  const Outcome typo = drover_run("enrol");
  CHECK(typo.code == 2);
  CHECK(has(typo, "Did you mean \"enroll\"?"));
  CHECK(has(drover_run("help exit-codes"), "  3    the configuration is wrong"));
  CHECK(drover_run("help enroll").code == 0);
  CHECK(drover_run("--version").code == 0);
  const Outcome bad = drover_run("config check robot");
  CHECK(bad.code == 2);
  CHECK(has(bad, "file"));
}

TEST_CASE("nodes/drover: config defaults and check fit together") {
  const TempDir dir;
  CHECK(drover_run("config defaults robot > " + dir.file("r.toml")).code == 0);
  CHECK(drover_run("config check robot " + dir.file("r.toml")).code == 0);
  CHECK(drover_run("config check coordinator " + dir.file("r.toml")).code == 3);
  const Outcome shown = drover_run("config show robot --set log.level=warn " + dir.file("r.toml"));
  CHECK(shown.code == 0);
  CHECK(has(shown, "log.level = \"warn\"\n"));
}

TEST_CASE("nodes/drover: a sibling executable gets the words and gives its exit code") {
  const TempDir dir;
  const std::string script = dir.write("drover-stress", "#!/bin/sh\necho \"got $1 $2\"\nexit 7\n");
  REQUIRE(chmod(script.c_str(), 0755) == 0);
  const Outcome ran = drover_run("stress --seed 'a b'", "DROVER_LIBEXEC='" + dir.file("") + "'");
  CHECK(ran.code == 7);
  CHECK(ran.text == "got --seed a b\n");
}

TEST_CASE("nodes/enroll: an authority, nodes that load, keys nobody else can read, nothing overwritten") {
  const TempDir dir;
  const std::string pki = dir.file("pki");
  const Outcome too_early = drover_run("enroll node --role robot --id r1 --dir " + pki);
  CHECK(too_early.code == 1);
  CHECK(has(too_early, "drover enroll init"));
  CHECK(drover_run("enroll init --dir " + pki).code == 0);
  const std::string authority_key = read_text(pki + "/ca.key");
  CHECK(drover_run("enroll init --dir " + pki).code == 1);
  CHECK(read_text(pki + "/ca.key") == authority_key);
  CHECK(drover_run("enroll node --role robot --id r1 --dir " + pki).code == 0);
  CHECK(drover_run("enroll node --role robot --id r1 --dir " + pki).code == 1);
  CHECK(drover_run("enroll node --role coordinator --id c1 --host 127.0.0.1 --host fleet.example --dir " + pki).code ==
        0);
  CHECK(drover_run("enroll node --role wizard --id r1 --dir " + pki).code == 2);
  CHECK(drover_run("enroll node --role robot --id 'R 1' --dir " + pki).code == 1);
  const Outcome shown = drover_run("enroll show --dir " + pki);
  CHECK(shown.code == 0);
  CHECK(has(shown, "robot/r1"));
  CHECK(has(shown, "fleet.example"));

  const std::string robot = pki + "/nodes/robot-r1/";
  const std::string centre = pki + "/nodes/coordinator-c1/";
  for (const std::string& key :
       {pki + "/ca.key", pki + "/knowledge.key", robot + "node.key", centre + "node.key", centre + "knowledge.key"}) {
    CAPTURE(key);
    CHECK(mode_of(key) == 0600);
  }
  CHECK(!std::filesystem::exists(robot + "knowledge.key"));
  CHECK(read_text(robot + "knowledge.pub") == read_text(pki + "/knowledge.pub"));

  const TlsConfig files{robot + "ca.pem", robot + "node.pem", robot + "node.key"};
  const int64_t now_s = time(nullptr);
  CHECK(load_tls(files, network::Role::robot, "r1", now_s));
  const auto other = load_tls(files, network::Role::robot, "r2", now_s);
  REQUIRE(!other);
  CHECK(other.error().code == Errc::refused);
  CHECK(!load_tls(files, network::Role::coordinator, "r1", now_s));
  CHECK(!load_tls(files, network::Role::robot, "r1", now_s + int64_t{400} * 86'400));
  REQUIRE(chmod(files.key_file.c_str(), 0644) == 0);
  const auto open_key = load_tls(files, network::Role::robot, "r1", now_s);
  REQUIRE(!open_key);
  CHECK(open_key.error().what.find("chmod 600") != std::string::npos);
}
