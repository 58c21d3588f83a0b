#include "sqlite_packs.hpp"

#include <map>
#include <set>

#include "messages/check.hpp"

#if defined(DROVER_SQLITE)
#include <sqlite3.h>

namespace drover::bench {
namespace {

// sqlite3.h casts in its macros.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
const sqlite3_destructor_type borrowed = SQLITE_STATIC;
#pragma GCC diagnostic pop

class Statement {
 public:
  Statement(sqlite3* db, const std::string& sql) {
    if (sqlite3_prepare_v2(db, sql.c_str(), -1, &statement_, nullptr) != SQLITE_OK)
      std::fprintf(stderr, "%s: %s\n", sql.c_str(), sqlite3_errmsg(db));
    DROVER_CHECK(statement_ != nullptr, "SQLite refuses a statement");
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& reset() {
    sqlite3_reset(statement_);
    at_ = 0;
    return *this;
  }
  Statement& number(double value) { return checked(sqlite3_bind_double(statement_, ++at_, value)); }
  Statement& whole(int64_t value) { return checked(sqlite3_bind_int64(statement_, ++at_, value)); }
  Statement& null() { return checked(sqlite3_bind_null(statement_, ++at_)); }
  Statement& text(const std::string& value) {
    return checked(sqlite3_bind_text(statement_, ++at_, value.data(), static_cast<int>(value.size()), borrowed));
  }
  Statement& blob(ByteView value) {
    return checked(sqlite3_bind_blob(statement_, ++at_, value.data(), static_cast<int>(value.size()), borrowed));
  }
  bool step() {
    const int rc = sqlite3_step(statement_);
    DROVER_CHECK(rc == SQLITE_ROW || rc == SQLITE_DONE, "SQLite fails");
    return rc == SQLITE_ROW;
  }
  sqlite3_stmt* raw() { return statement_; }

 private:
  Statement& checked(int rc) {
    DROVER_CHECK(rc == SQLITE_OK, "SQLite refuses a value");
    return *this;
  }
  sqlite3_stmt* statement_ = nullptr;
  int at_ = 0;
};

}  // namespace

struct SqlitePacks::Impl {
  sqlite3* db = nullptr;
  std::filesystem::path file;
  int64_t next_row = 1;
  std::map<std::string, std::unique_ptr<Statement>> statements;

  void run(const char* sql) {
    char* why = nullptr;
    if (sqlite3_exec(db, sql, nullptr, nullptr, &why) != SQLITE_OK) std::fprintf(stderr, "%s: %s\n", sql, why);
    DROVER_CHECK(why == nullptr, "SQLite refuses");
  }
  Statement& prepared(const std::string& sql) {
    auto& at = statements[sql];
    if (!at) at = std::make_unique<Statement>(db, sql);
    return at->reset();
  }
};

bool SqlitePacks::available() {
  return true;
}

SqlitePacks::SqlitePacks(const std::filesystem::path& file, bool synced) : impl_(std::make_unique<Impl>()) {
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(file.string() + suffix);
  impl_->file = file;
  DROVER_CHECK(sqlite3_open(file.c_str(), &impl_->db) == SQLITE_OK, "SQLite cannot make its file");
  impl_->run("PRAGMA journal_mode=WAL");
  impl_->run(synced ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
  impl_->run("PRAGMA cache_size=-2000000");
  impl_->run("PRAGMA mmap_size=34359738368");
  impl_->run(
      "CREATE TABLE packs(row INTEGER PRIMARY KEY, id TEXT UNIQUE, task TEXT, time INTEGER, dj REAL, trust REAL,"
      " mvd REAL, w_econ REAL, robot TEXT, engine TEXT, source INTEGER, bucket INTEGER, sima INTEGER,"
      " counterfactual INTEGER, pack BLOB)");
  impl_->run(
      "CREATE TABLE skills(task TEXT, skill INTEGER, time INTEGER, row INTEGER,"
      " PRIMARY KEY(task, skill, time, row)) WITHOUT ROWID");
  impl_->run(
      "CREATE TABLE tags(task TEXT, tag TEXT, time INTEGER, row INTEGER, PRIMARY KEY(task, tag, time, row))"
      " WITHOUT ROWID");
  impl_->run("CREATE INDEX by_row_skill ON skills(row, skill)");
  impl_->run("CREATE INDEX by_row_tag ON tags(row, tag)");
  for (const char* column : {"time", "dj", "trust", "mvd", "w_econ"}) {
    const std::string name(column);
    impl_->run(("CREATE INDEX by_" + name + " ON packs(task, " + name + (name == "time" ? ")" : ", time)")).c_str());
  }
  impl_->run("CREATE INDEX by_robot ON packs(task, robot, time)");
  impl_->run("CREATE INDEX by_class ON packs(task, engine, source, bucket, sima, counterfactual, time)");
}

SqlitePacks::~SqlitePacks() {
  impl_->statements.clear();
  sqlite3_close(impl_->db);
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(impl_->file.string() + suffix);
}

void SqlitePacks::import(const std::vector<Datapack>& packs) {
  impl_->run("BEGIN");
  for (const Datapack& p : packs) {
    const int64_t number = impl_->next_row++;
    const Attribution& a = p.attribution;
    const Bytes flat = encode(p);
    auto& insert = impl_->prepared("INSERT INTO packs VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
    insert.whole(number).text(p.pack_id).text(p.task_name).whole(p.provenance.start_unix_ns).number(a.delta_J);
    insert.number(a.trust_score);
    a.mvd_score ? insert.number(*a.mvd_score) : insert.null();
    insert.number(a.w_econ).text(p.provenance.robot).text(p.condition.engine_type);
    insert.whole(static_cast<int64_t>(a.source_type)).whole(static_cast<int64_t>(p.bucket));
    insert.whole(p.sima_annotation ? 1 : 0).whole(p.counterfactual_plan_json.empty() ? 0 : 1).blob(flat);
    insert.step();
    std::set<int64_t> skills;
    for (const SkillStep& step : p.skill_trace) skills.insert(step.skill_id);
    for (const int64_t skill : skills)
      impl_->prepared("INSERT INTO skills VALUES(?,?,?,?)")
          .text(p.task_name)
          .whole(skill)
          .whole(p.provenance.start_unix_ns)
          .whole(number)
          .step();
    std::set<std::string> tags(p.semantic_tags.begin(), p.semantic_tags.end());
    tags.insert(p.energy_driver_tags.begin(), p.energy_driver_tags.end());
    for (const std::string& tag : tags)
      impl_->prepared("INSERT INTO tags VALUES(?,?,?,?)")
          .text(p.task_name)
          .text(tag)
          .whole(p.provenance.start_unix_ns)
          .whole(number)
          .step();
  }
  impl_->run("COMMIT");
}

void SqlitePacks::analyze() {
  impl_->run("ANALYZE");
  impl_->run("PRAGMA wal_checkpoint(TRUNCATE)");
}

size_t SqlitePacks::query(const storage::PackQuery& q) {
  constexpr const char* columns[] = {"dj", "trust", "mvd", "time", "w_econ", "id"};
  std::string sql = "SELECT id, pack FROM packs p WHERE task=?";
  if (q.bucket) sql += " AND bucket=?";
  if (q.skill_id) sql += " AND row IN (SELECT row FROM skills WHERE task=? AND skill=?)";
  if (!q.engine_type.empty()) sql += " AND engine=?";
  if (q.min_trust) sql += " AND trust>=?";
  if (q.min_delta_j) sql += " AND dj>=?";
  if (q.min_mvd_score) sql += " AND mvd>=?";
  if (q.source_type) sql += " AND source=?";
  if (!q.robot.empty()) sql += " AND robot=?";
  if (q.from_unix_ns) sql += " AND time>=?";
  if (q.until_unix_ns) sql += " AND time<?";
  for (size_t i = 0; i < q.tags.size(); ++i) sql += " AND row IN (SELECT row FROM tags WHERE task=? AND tag=?)";
  if (q.include_sima) sql += " AND sima=1";
  if (q.include_counterfactual) sql += " AND counterfactual=1";
  sql += std::string(" ORDER BY ") + columns[static_cast<size_t>(q.sort_by)] + (q.sort_descending ? " DESC" : " ASC");
  sql += " LIMIT " + std::to_string(q.limit);
  Statement& s = impl_->prepared(sql);
  s.text(q.task_name);
  if (q.bucket) s.whole(static_cast<int64_t>(*q.bucket));
  if (q.skill_id) s.text(q.task_name).whole(*q.skill_id);
  if (!q.engine_type.empty()) s.text(q.engine_type);
  if (q.min_trust) s.number(*q.min_trust);
  if (q.min_delta_j) s.number(*q.min_delta_j);
  if (q.min_mvd_score) s.number(*q.min_mvd_score);
  if (q.source_type) s.whole(static_cast<int64_t>(*q.source_type));
  if (!q.robot.empty()) s.text(q.robot);
  if (q.from_unix_ns) s.whole(*q.from_unix_ns);
  if (q.until_unix_ns) s.whole(*q.until_unix_ns);
  for (const std::string& tag : q.tags) s.text(q.task_name).text(tag);
  size_t hits = 0;
  while (s.step()) {  // as the store does: each hit with a copy of its pack
    const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(s.raw(), 1));
    const Bytes copy = Bytes::copy_of({data, static_cast<size_t>(sqlite3_column_bytes(s.raw(), 1))});
    if (!copy.empty()) ++hits;
  }
  return hits;
}

void SqlitePacks::statistics() {
  Statement& s = impl_->prepared(
      "SELECT count(*), sum(bucket=0), avg(dj), avg(dj*dj), avg(trust), engine, source FROM packs WHERE task=?"
      " GROUP BY engine, source");
  s.text("drawer_vase");
  while (s.step()) {
  }
}

uint64_t SqlitePacks::bytes() const {
  return std::filesystem::file_size(impl_->file);
}

}  // namespace drover::bench

#else

namespace drover::bench {
struct SqlitePacks::Impl {};
bool SqlitePacks::available() {
  return false;
}
SqlitePacks::SqlitePacks(const std::filesystem::path&, bool) {}
SqlitePacks::~SqlitePacks() = default;
void SqlitePacks::import(const std::vector<Datapack>&) {}
void SqlitePacks::analyze() {}
size_t SqlitePacks::query(const storage::PackQuery&) {
  return 0;
}
void SqlitePacks::statistics() {}
uint64_t SqlitePacks::bytes() const {
  return 0;
}
}  // namespace drover::bench
#endif
