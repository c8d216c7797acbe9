//! The network that the chip joins.

use embassy_time::Timer;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{Config, ControllerConfig, WifiController};

use crate::boot_log::log;

/// How long to wait before the network is tried again.
const RETRY_SECONDS: u64 = 5;

/// As a station of the network that the build was told of. Its password stands in the image.
pub fn config() -> ControllerConfig {
    let station = StationConfig::default()
        .with_ssid(env!("CORACLE_WIFI_SSID"))
        .with_password(env!("CORACLE_WIFI_PASSWORD").into());
    ControllerConfig::default().with_initial_config(Config::Station(station))
}

/// Joins the network, and again whenever it is lost.
#[embassy_executor::task]
pub async fn stay_connected(mut controller: WifiController<'static>) {
    loop {
        match controller.connect_async().await {
            Ok(_) => {
                log(format_args!("Wi-Fi is there"));
                if let Ok(lost) = controller.wait_for_disconnect_async().await {
                    log(format_args!("Wi-Fi is lost: {:?}", lost.reason));
                }
            }
            Err(error) => log(format_args!("no Wi-Fi: {error:?}")),
        }
        Timer::after_secs(RETRY_SECONDS).await;
    }
}
