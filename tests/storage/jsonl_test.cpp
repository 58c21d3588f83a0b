// JSON Lines files: complete lines only, bad ones named, torn ones seen.
#include "storage/jsonl.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <set>

#include "storage/datapack_json.hpp"
#include "tests/storage/datapack_model.hpp"

using namespace drover;
using namespace drover::storage;
using namespace drover::test;

namespace {

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}
std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("storage/jsonl: files -> store -> files gives the same packs") {
  Rng rng(1);
  TempDir dir;
  std::vector<Datapack> packs;
  for (int i = 0; i < 300; ++i) packs.push_back(random_datapack(rng));
  {
    JsonlWriter writer(dir.path() / "a");
    for (const Datapack& p : packs) REQUIRE(writer.append(p));
    REQUIRE(writer.finish());
    CHECK(writer.files().size() == 3);
  }
  TempStore s;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path() / "a")) {
    const auto report = s.env.write([&](WriteTxn& txn) -> Result<JsonlReport> {
      DatapackBatch batch(s.store, txn);
      DROVER_ASSIGN(auto done, read_jsonl(entry.path(), {}, [&](Datapack&& p) -> Status {
                      DROVER_TRY(batch.put(p));
                      return {};
                    }));
      DROVER_TRY(batch.finish());
      return done;
    });
    REQUIRE(report);
    CHECK(report->bad_lines == 0);
    CHECK(report->packs == report->lines);
  }
  JsonlWriter writer(dir.path() / "b");
  REQUIRE(s.env.read([&](const ReadTxn& txn) {
    return s.store.for_each(txn, "", [&](ByteView flat) -> Result<bool> {
      DROVER_ASSIGN(const Datapack p, decode_datapack(flat));
      DROVER_TRY(writer.append(p));
      return true;
    });
  }));
  REQUIRE(writer.finish());
  const auto lines_of = [](const std::filesystem::path& path) {
    std::multiset<std::string> lines;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) lines.insert(line);
    return lines;
  };
  for (const auto& [task, file] : writer.files())
    CHECK(lines_of(file.path) == lines_of(jsonl_path(dir.path() / "a", task)));
}

TEST_CASE("storage/jsonl: a torn last line is reported, and cut off before more is appended") {
  Rng rng(2);
  TempDir dir;
  const Datapack a = random_datapack(rng);
  Datapack b = random_datapack(rng);
  b.task_name = a.task_name;
  const auto path = jsonl_path(dir.path(), a.task_name);
  const std::string line = datapack_to_json(a).value() + "\n";
  for (const size_t torn : {size_t{1}, size_t{57}, line.size() - 1}) {
    write_file(path, line + line.substr(0, torn));
    const auto report = read_jsonl(path, {}, [](Datapack&&) -> Status { return {}; });
    REQUIRE(report);
    CHECK(report->packs == 1);
    CHECK(report->bad_lines == 0);
    CHECK(report->torn_bytes == torn);
    JsonlWriter writer(dir.path());
    REQUIRE(writer.append(b));
    REQUIRE(writer.finish());
    CHECK(writer.files().at(a.task_name).torn_bytes_cut == torn);
    CHECK(read_file(path) == line + datapack_to_json(b).value() + "\n");
  }
}

TEST_CASE("storage/jsonl: bad lines are named by file, line and column; the rest is read or not, as asked") {
  Rng rng(3);
  TempDir dir;
  const auto path = dir.path() / "x.jsonl";
  const std::string good = datapack_to_json(random_datapack(rng)).value();
  write_file(path, good + "\r\n\n{\"bucket\":7}\n" + std::string(5'000'000, ' ') + "{}\n" + good + "\n");
  JsonlOptions options;
  options.line_max_bytes = 1u << 20;
  const auto take = [](Datapack&&) -> Status { return {}; };
  const auto report = read_jsonl(path, options, take);
  REQUIRE(report);
  CHECK(report->lines == 5);
  CHECK(report->packs == 2);
  REQUIRE(report->errors.size() == 2);
  CHECK(report->errors[0].where == path.string() + ":3:11 bucket");
  CHECK(report->errors[1].where == path.string() + ":4:1");
  CHECK(report->errors[1].code == Errc::too_large);
  options.stop_at_error = true;
  CHECK(read_jsonl(path, options, take).error().where == path.string() + ":3:11 bucket");
  options.stop_at_error = false;
  options.errors_max = 1;
  CHECK(read_jsonl(path, options, take)->packs == 1);
  CHECK(read_jsonl(dir.path() / "none", {}, take).error().code == Errc::not_found);
  const auto refuse = read_jsonl(path, {}, [](Datapack&&) -> Status { return fail(Errc::conflict, "pack_id", "no"); });
  REQUIRE(refuse);
  CHECK(refuse->errors[0].where == path.string() + ":1: pack_id");
  CHECK(read_jsonl(path, {}, [](Datapack&&) -> Status { return fail(Errc::disk_full, "env", "full"); }).error().code ==
        Errc::disk_full);
}

TEST_CASE("storage/jsonl: every task has a file of its own inside the directory") {
  const auto name = [](std::string_view task) { return jsonl_path("d", task).string(); };
  CHECK(name("drawer_vase") == "d/drawer_vase_datapacks.jsonl");
  CHECK(name("../a/b") == "d/%2E.%2Fa%2Fb_datapacks.jsonl");
  CHECK(name("a b") != name("a_b"));
  CHECK(name("a%20b") != name("a b"));
}

namespace {

// What reading gave, in order, so that ways of reading can be compared.
struct Reading {
  std::vector<std::string> ids;
  JsonlReport report;
  std::optional<Error> error;
};

Reading plainly(const std::filesystem::path& path, const JsonlOptions& options, const std::string& refused) {
  Reading out;
  const auto report = read_jsonl(path, options, [&](Datapack&& p) -> Status {
    DROVER_TRY(validate(p));
    if (p.pack_id == refused) return fail(Errc::conflict, "pack_id", "no");
    out.ids.push_back(p.pack_id);
    return {};
  });
  if (report) out.report = *report;
  if (!report) out.error = report.error();
  return out;
}

Reading prepared(const std::filesystem::path& path, const JsonlOptions& options, const std::string& refused,
                 uint32_t threads) {
  Reading out;
  PreparedSink sink;
  sink.threads = threads;
  sink.take = [&](PreparedPack&& p) -> Status {
    if (p.pack_id == refused) return fail(Errc::conflict, "pack_id", "no");
    out.ids.push_back(p.pack_id);
    return {};
  };
  const auto report = read_jsonl_prepared(path, options, sink);
  if (report) out.report = *report;
  if (!report) out.error = report.error();
  return out;
}

void check_same(const Reading& a, const Reading& b) {
  CHECK(a.ids == b.ids);
  REQUIRE(a.error.has_value() == b.error.has_value());
  if (a.error) CHECK(a.error->message() == b.error->message());
  CHECK(a.report.packs == b.report.packs);
  CHECK(a.report.bad_lines == b.report.bad_lines);
  CHECK(a.report.torn_bytes == b.report.torn_bytes);
  REQUIRE(a.report.errors.size() == b.report.errors.size());
  for (size_t i = 0; i < a.report.errors.size(); ++i)
    CHECK(a.report.errors[i].message() == b.report.errors[i].message());
}

}  // namespace

TEST_CASE("storage/jsonl: reading on several threads gives the same packs and errors in the same order") {
  Rng rng(17);
  TempDir dir;
  const auto path = dir.path() / "x.jsonl";
  std::string text, refused;
  for (int i = 0; i < 1500; ++i) {
    Datapack p = random_datapack(rng);
    if (i == 700) refused = p.pack_id;
    if (chance(rng, 60)) p.skill_trace.clear();  // breaks an invariant
    text += chance(rng, 50) ? std::string("{\"bucket\":7}") : datapack_to_json(p).value();
    text += chance(rng, 40) ? "\n\n" : "\n";
    if (chance(rng, 300)) text += std::string(2'000'000, 'x') + "\n";  // longer than a line may be
  }
  write_file(path, text + "torn");
  JsonlOptions options;
  options.line_max_bytes = 1u << 20;
  for (const uint32_t threads : {1u, 3u}) {
    const Reading all = prepared(path, options, refused, threads);
    CHECK(all.ids.size() > 1000);
    CHECK(all.report.bad_lines > 20);
    check_same(plainly(path, options, refused), all);
    JsonlOptions first_error = options;
    first_error.stop_at_error = true;
    check_same(plainly(path, first_error, refused), prepared(path, first_error, refused, threads));
  }
  CHECK(prepared(dir.path() / "none", options, "", 2).error->code == Errc::not_found);
}
