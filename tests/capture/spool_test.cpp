// The spool: stable files, in order, exactly once across crashes; duplicates, growth and quarantine.
#include "actors/capture/spool.hpp"

#include <doctest/doctest.h>

#include <map>

#include "tests/capture/support.hpp"

namespace drover::capture::test {
namespace {

Hash hash_of(std::string_view text) {
  return sha256(as_bytes(text));
}

SpoolConfig config(uint32_t stable = 2) {
  SpoolConfig c;
  c.stable_polls = stable;
  return c;
}

}  // namespace

TEST_CASE("capture/spool: a file is offered once its size and time stood still") {
  Spool spool(config(3));
  spool.poll({{"a.csv", 10, 1}});
  CHECK(!spool.next());
  spool.poll({{"a.csv", 20, 2}});
  spool.poll({{"a.csv", 20, 2}});
  CHECK(!spool.next());
  CHECK(spool.waiting_count() == 1);
  spool.poll({{"a.csv", 20, 2}});
  REQUIRE(spool.next());
  CHECK(spool.next()->name == "a.csv");
  spool.poll({});
  CHECK(!spool.next());
}

TEST_CASE("capture/spool: name order; dot files and unfinished downloads are left alone") {
  Spool spool(config(1));
  spool.poll(
      {{"b.csv", 1, 1}, {".hidden", 1, 1}, {"a.csv.part", 1, 1}, {"x.tmp", 1, 1}, {"a.csv", 1, 1}, {"c.csv~", 1, 1}});
  CHECK(spool.waiting_count() == 2);
  CHECK(spool.next()->name == "a.csv");
  auto start = spool.start(*spool.next(), hash_of("a"));
  CHECK(start.take);
  spool.commit(Spool::finished(start.mark));
  CHECK(spool.next()->name == "b.csv");
}

TEST_CASE("capture/spool: killed at every step, each episode is stored exactly once") {
  // Model: the store applies (records, mark) together; a crash loses what was not committed.
  constexpr uint64_t episodes_per_file = 4;
  const std::vector<FileStat> folder = {{"a.csv", 10, 1}, {"b.csv", 10, 1}, {"c.csv", 10, 1}};
  const std::map<std::string, std::string> contents = {{"a.csv", "A"}, {"b.csv", "B"}, {"c.csv", "A"}};
  for (int crash_every = 1; crash_every <= 9; ++crash_every) {
    CAPTURE(crash_every);
    std::map<std::string, Bytes> stored_marks;
    std::vector<std::string> stored_records;
    int steps = 0;
    auto alive = [&] { return ++steps % (crash_every + 3) != 0; };
    for (int life = 0; life < 100; ++life) {
      SpoolConfig c = config(1);
      c.attempts_max = 50;
      Spool spool(c);
      for (const auto& [key, bytes] : stored_marks) {
        const auto mark = decode_mark(bytes);
        REQUIRE(mark);
        spool.restore(*mark);
      }
      spool.poll(folder);
      bool crashed = false;
      while (!crashed && spool.next()) {
        const FileStat file = *spool.next();
        auto start = spool.start(file, hash_of(contents.at(file.name)));
        const auto keep = [&](const SpoolMark& mark, std::optional<std::string> record) {
          if (!alive()) return false;
          stored_marks[mark_key(mark)] = encode(mark);
          if (record) stored_records.push_back(*record);
          spool.commit(mark);
          return true;
        };
        crashed = !keep(start.mark, std::nullopt);
        SpoolMark mark = start.mark;
        for (uint64_t i = mark.next_ordinal; start.take && !crashed && i < episodes_per_file; ++i) {
          mark = Spool::advanced(mark, i + 1);
          crashed = !keep(mark, contents.at(file.name) + std::to_string(i));
        }
        if (start.take && !crashed) crashed = !keep(Spool::finished(mark), std::nullopt);
      }
      if (!crashed) break;
    }
    CHECK(stored_records == std::vector<std::string>{"A0", "A1", "A2", "A3", "B0", "B1", "B2", "B3"});
    SpoolMark copy;
    copy.file.name = "c.csv";
    copy.hash = hash_of("A");
    const auto last = decode_mark(stored_marks.at(mark_key(copy)));
    REQUIRE(last);
    CHECK(last->state == MarkState::duplicate);
    CHECK(last->detail == "a.csv");
  }
}

TEST_CASE("capture/spool: a settled file is not offered again, also after a restart; duplicates by choice") {
  Spool spool(config(1));
  spool.poll({{"a.csv", 1, 1}});
  spool.commit(Spool::finished(spool.start(*spool.next(), hash_of("x")).mark));
  CHECK(!spool.next());
  Spool again(config(1));
  for (const auto& mark : spool.marks()) again.restore(mark);
  again.poll({{"a.csv", 1, 1}});
  CHECK(!again.next());
  // The same content with a new time is recognised by its hash.
  again.poll({{"a.csv", 1, 99}});
  REQUIRE(again.next());
  const auto touched = again.start(*again.next(), hash_of("x"));
  CHECK(!touched.take);
  CHECK(touched.mark.state == MarkState::done);
  again.commit(touched.mark);
  CHECK(!again.next());
  again.poll({{"copy.csv", 1, 1}});
  CHECK(!again.start(*again.next(), hash_of("x")).take);
  SpoolConfig twice = config(1);
  twice.skip_duplicates = false;
  Spool allowing(twice);
  for (const auto& mark : spool.marks()) allowing.restore(mark);
  allowing.poll({{"copy.csv", 1, 1}});
  CHECK(allowing.start(*allowing.next(), hash_of("x")).take);
}

TEST_CASE("capture/spool: a name with new content is a new file; one that grew after it was taken is quarantined") {
  Spool spool(config(1));
  spool.poll({{"log.csv", 3, 1}});
  CHECK(!spool.grown_from(*spool.next()));
  spool.commit(Spool::finished(spool.start(*spool.next(), hash_of("abc")).mark));
  spool.poll({{"log.csv", 5, 2}});
  CHECK(spool.grown_from(*spool.next()).value_or(0) == 3);
  CHECK(spool.start(*spool.next(), hash_of("xxxde"), hash_of("xxx")).take);
  const auto grew = spool.start(*spool.next(), hash_of("abcde"), hash_of("abc"));
  CHECK(!grew.take);
  CHECK(grew.mark.state == MarkState::quarantined);
  CHECK(grew.mark.detail.find("grew after it had been taken at 3 bytes") == 0);
}

TEST_CASE(
    "capture/spool: a file that fails or kills the capture is quarantined, others go on; forgive offers it again") {
  Spool spool(config(1));
  const std::vector<FileStat> folder = {{"bad.csv", 1, 1}, {"good.csv", 1, 1}};
  int tries = 0;
  bool good = false;
  for (int look = 0; look < 40; ++look) {
    spool.poll(folder);
    while (const auto file = spool.next()) {
      const auto start = spool.start(*file, hash_of(file->name));
      spool.commit(start.mark);
      if (!start.take) continue;
      if (file->name == "bad.csv") {
        ++tries;
        spool.commit(spool.failed(start.mark, "cannot be read"));
      } else {
        good = true;
        spool.commit(Spool::finished(start.mark));
      }
    }
  }
  CHECK(tries == 3);
  CHECK(good);
  CHECK(spool.marks().size() == 2);
  CHECK(!spool.next());
  CHECK(spool.forgive("bad.csv"));
  CHECK(!spool.forgive("good.csv"));
  spool.poll(folder);
  REQUIRE(spool.next());
  CHECK(spool.start(*spool.next(), hash_of("bad.csv")).take);
  // A crash leaves no failed() mark: the starts themselves are counted.
  Spool crashing(config(1));
  crashing.poll({{"kills.csv", 1, 1}});
  for (int i = 0; i < 3; ++i) {
    const auto start = crashing.start({"kills.csv", 1, 1}, hash_of("k"));
    CHECK(start.take);
    crashing.commit(start.mark);
  }
  const auto given_up = crashing.start({"kills.csv", 1, 1}, hash_of("k"));
  CHECK(!given_up.take);
  CHECK(given_up.mark.state == MarkState::quarantined);
}

TEST_CASE("capture/spool: a file that cannot even be opened is tried a few times, then quarantined") {
  Spool spool(config(1));
  int tries = 0;
  for (int look = 0; look < 40; ++look) {
    spool.poll({{"locked.csv", 1, 1}});
    if (!spool.next()) continue;
    ++tries;
    SpoolMark mark;
    mark.file = *spool.next();
    spool.commit(spool.failed(mark, "permission denied"));
  }
  CHECK(tries == 3);
  REQUIRE(spool.marks().size() == 1);
  CHECK(spool.marks()[0].state == MarkState::quarantined);
  CHECK(spool.marks()[0].detail == "permission denied");
}

TEST_CASE("capture/spool: files that are done do not hide new ones behind files_max") {
  SpoolConfig c = config(1);
  c.files_max = 3;
  Spool spool(c);
  std::vector<FileStat> folder;
  for (int i = 0; i < 10; ++i) {
    folder.push_back({"log" + std::to_string(i) + ".csv", 1, 1});
    spool.poll(folder);
    REQUIRE(spool.next());
    CHECK(spool.next()->name == folder.back().name);
    spool.commit(Spool::finished(spool.start(*spool.next(), hash_of(folder.back().name)).mark));
  }
  folder.push_back({"a.csv", 1, 1});
  folder.push_back({"b.csv", 1, 1});
  folder.push_back({"c.csv", 1, 1});
  folder.push_back({"d.csv", 1, 1});
  spool.poll(folder);
  CHECK(spool.waiting_count() == 3);
}

TEST_CASE("capture/spool: marks survive encoding, also with odd names; damaged ones are refused") {
  SpoolMark mark;
  mark.file = {"odd\xFF\n name.csv", 123, -5};
  mark.hash = hash_of("x");
  mark.state = MarkState::quarantined;
  mark.next_ordinal = 7;
  mark.attempts = 2;
  mark.detail = "why";
  const auto back = decode_mark(encode(mark));
  REQUIRE(back);
  CHECK(*back == mark);
  const Bytes bytes = encode(mark);
  for (size_t i = 0; i < bytes.size(); ++i) CHECK(!decode_mark(bytes.view().first(i)));
  CHECK(!decode_mark(as_bytes("{}")));
  CHECK(!decode_mark(as_bytes("[1,2]")));
}

}  // namespace drover::capture::test
