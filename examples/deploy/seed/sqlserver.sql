-- A branch with 20,000 invoices, made once.
if db_id('sales') is null create database sales;
go
use sales;
if object_id('sale') is null begin
  create table sale (id bigint primary key, invoice_no nvarchar(20) not null, customer nvarchar(60) not null, place_of_supply nvarchar(40) not null, invoice_date date not null,
    taxable_value decimal(14,2) not null, total decimal(14,2) not null);
  insert into sale select value, 'KO/' + format(value, '000000'), concat('Customer ', value % 500), '32-Kerala', dateadd(day, value % 240, '2026-04-01'),
    (value % 90000 + 100) / 4.0, (value % 90000 + 100) / 4.0 * 1.18 from generate_series(1, 20000);
end;
go
