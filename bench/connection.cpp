#include "connection.hpp"

#include <stdexcept>

namespace bench {

Result::Result(PGresult* result) : result_(result) {
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
    throw std::runtime_error(result == nullptr ? "out of memory in libpq"
                                               : PQresultErrorMessage(result));
}

std::string Result::column_as_array(int column) const {
  std::string array = "{";
  for (int row = 0; row < rows(); ++row) {
    if (row > 0) array += ',';
    array += raw(row, column);
  }
  array += '}';
  return array;
}

Connection::Connection() : connection_(PQconnectdb("application_name=durable_work_bench")) {
  if (PQstatus(get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(get()));
  script("SET client_min_messages = warning");
}

void Connection::script(const std::string& sql) { Result(PQexec(get(), sql.c_str())); }

void Connection::prepare(const char* name, const std::string& sql) {
  Result(PQprepare(get(), name, sql.c_str(), 0, nullptr));
}

}  // namespace bench
