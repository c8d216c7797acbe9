//! Coracle over Wi-Fi on an ESP32-C3: a static file, and the chip's log, which clients follow.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod boot_log;
mod files;
mod observer;
mod wifi;

use boot_log::log;
use coracle_core::ServerConfig;
use coracle_embassy::net::Server;
use coracle_embassy::{Buffers, EmbassyClock};
// The panic handler.
use embassy_executor::Spawner;
use embassy_net::tcp::TcpSocket;
use embassy_net::{Runner, Stack, StackResources};
use esp_backtrace as _;
use esp_hal::clock::CpuClock;
use esp_hal::interrupt::software::SoftwareInterruptControl;
use esp_hal::ram;
use esp_hal::rng::Rng;
use esp_hal::timer::timg::TimerGroup;
use esp_radio::wifi::Interface;
use files::Files;
use observer::Logger;
use static_cell::StaticCell;

esp_bootloader_esp_idf::esp_app_desc!();

const PORT: u16 = 8888;
/// Three clients are served, a fourth is told `busy`.
const SOCKETS: usize = 4;

static CONFIG: ServerConfig<'static> = ServerConfig::new().with_absolute(true).with_wait_max_ms(30_000);
static SERVER: StaticCell<Server<'static, SOCKETS>> = StaticCell::new();
/// One socket more, for DHCP.
static RESOURCES: StaticCell<StackResources<{ SOCKETS + 1 }>> = StaticCell::new();

#[embassy_executor::task]
async fn run_network(mut runner: Runner<'static, Interface<'static>>) -> ! {
    runner.run().await
}

#[embassy_executor::task(pool_size = SOCKETS)]
async fn serve(stack: Stack<'static>, server: &'static Server<'static, SOCKETS>, boot: u64) {
    let (mut received, mut to_send) = ([0; 512], [0; 4096]);
    let mut socket = TcpSocket::new(stack, &mut received, &mut to_send);
    let buffers = Buffers { receive: &mut [0; 64], send: &mut [0; 256] };
    server.serve(&mut socket, &mut Files::new(boot), buffers, &EmbassyClock, &mut Logger).await
}

#[esp_rtos::main]
async fn main(spawner: Spawner) {
    let peripherals = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    // For Espressif's libraries: what the boot loader no longer needs, and some more.
    esp_alloc::heap_allocator!(#[ram(reclaimed)] size: 64 << 10);
    esp_alloc::heap_allocator!(size: 36 << 10);
    let interrupts = SoftwareInterruptControl::new(peripherals.SW_INTERRUPT);
    esp_rtos::start(TimerGroup::new(peripherals.TIMG0).timer0, interrupts.software_interrupt0);

    let (controller, interfaces) = esp_radio::wifi::new(peripherals.WIFI, wifi::config()).expect("the radio starts");
    // With the radio on, the numbers are random.
    let random = Rng::new();
    let random = || u64::from(random.random()) << 32 | u64::from(random.random());
    let config = embassy_net::Config::dhcpv4(Default::default());
    let resources = RESOURCES.init(StackResources::new());
    let (stack, runner) = embassy_net::new(interfaces.station, config, resources, random());

    spawner.spawn(wifi::stay_connected(controller).expect("its only task"));
    spawner.spawn(run_network(runner).expect("its only task"));
    let (server, boot) = (SERVER.init(Server::new(&CONFIG, PORT)), random());
    for _ in 0..SOCKETS {
        spawner.spawn(serve(stack, server, boot).expect("a task for each socket"));
    }
    loop {
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            log(format_args!("listening on {}:{PORT}", config.address.address()));
        }
        stack.wait_config_down().await;
        log(format_args!("no address"));
    }
}
